//! Hours, days, weeks, months and years of a time zone.

use std::fmt;

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

/// A length of period.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Unit {
    /// An hour of the clock.
    Hour,
    /// A calendar day.
    Day,
    /// An ISO week, from Monday.
    Week,
    /// A calendar month.
    Month,
    /// A calendar year.
    Year,
}

impl fmt::Display for Unit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Unit::Hour => "hourly",
            Unit::Day => "daily",
            Unit::Week => "weekly",
            Unit::Month => "monthly",
            Unit::Year => "yearly",
        })
    }
}

/// One hour, day, week, month or year.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Period {
    /// An hour.
    Hour {
        /// Its day.
        date: Date,
        /// 0 to 23.
        hour: i8,
        /// Seconds east of Greenwich: tells the two hours apart that share a name when clocks are set back.
        offset: i32,
    },
    /// A day.
    Day(Date),
    /// An ISO week.
    Week {
        /// ISO year, which near New Year is not always the calendar's.
        year: i16,
        /// 1 to 53.
        week: i8,
    },
    /// A month.
    Month {
        /// Year.
        year: i16,
        /// 1 to 12.
        month: i8,
    },
    /// A year.
    Year(i16),
}

impl Period {
    /// The period of this unit in which a moment lies.
    pub fn of(unit: Unit, moment: Timestamp, zone: &TimeZone) -> Self {
        let (offset, local) = (zone.to_offset(moment), zone.to_datetime(moment));
        let date = local.date();
        match unit {
            Unit::Hour => Period::Hour { date, hour: local.hour(), offset: offset.seconds() },
            Unit::Day => Period::Day(date),
            Unit::Week => {
                let week = date.iso_week_date();
                Period::Week { year: week.year(), week: week.week() }
            }
            Unit::Month => Period::Month { year: date.year(), month: date.month() },
            Unit::Year => Period::Year(date.year()),
        }
    }

    /// Its unit.
    pub fn unit(&self) -> Unit {
        match self {
            Period::Hour { .. } => Unit::Hour,
            Period::Day(_) => Unit::Day,
            Period::Week { .. } => Unit::Week,
            Period::Month { .. } => Unit::Month,
            Period::Year(_) => Unit::Year,
        }
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Period::Hour { date, hour, .. } => write!(f, "{date} {hour:02}:00"),
            Period::Day(date) => write!(f, "{date}"),
            Period::Week { year, week } => write!(f, "{year:04}-W{week:02}"),
            Period::Month { year, month } => write!(f, "{year:04}-{month:02}"),
            Period::Year(year) => write!(f, "{year:04}"),
        }
    }
}
