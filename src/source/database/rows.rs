//! How many rows each table of a dump holds, as a small file beside it: what a restore is compared with.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// What follows the dump's name in the names of these files, so that they always come after it.
pub const ENDING: &str = ".rows.json";

/// The rows of each table, or why nobody knows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum RowCounts {
    /// Tables in the order of their names.
    Tables(Vec<TableRows>),
    /// The dump was not understood; the reason.
    Unknown(String),
}

/// A table and its rows.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct TableRows {
    /// The schema, where the server has some.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schema: Option<String>,
    /// The table's name.
    pub table: String,
    /// Its rows in the dump.
    pub rows: u64,
}

impl TableRows {
    /// Its name for people.
    pub fn display(&self) -> String {
        match &self.schema {
            Some(schema) => format!("{schema}.{}", self.table),
            None => self.table.clone(),
        }
    }
}

impl RowCounts {
    /// The counts of several parts of a dump as one; unknown if one of them is.
    pub fn join(parts: impl IntoIterator<Item = Self>) -> Self {
        let mut tables = Vec::new();
        for part in parts {
            match part {
                RowCounts::Tables(more) => tables.extend(more),
                unknown @ RowCounts::Unknown(_) => return unknown,
            }
        }
        tables.sort();
        RowCounts::Tables(tables)
    }

    /// The file's content.
    pub fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).unwrap_or_default()
    }
}

/// The tables that do not hold what was recorded, told with both counts; `found` has a count for each of `recorded`, none for a table that is
/// not there.
pub fn differences(recorded: &[TableRows], found: &BTreeMap<usize, u64>) -> Vec<String> {
    let compared = recorded.iter().enumerate().map(|(place, table)| (table, found.get(&place)));
    let wrong = compared.filter(|(table, found)| *found != Some(&table.rows));
    wrong
        .map(|(table, found)| match found {
            Some(rows) => format!("{} has {rows} rows instead of {}", table.display(), table.rows),
            None => format!("{} is missing, with {} rows", table.display(), table.rows),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(schema: Option<&str>, name: &str, rows: u64) -> TableRows {
        TableRows { schema: schema.map(str::to_owned), table: name.into(), rows }
    }

    #[test]
    fn counts_come_back_from_their_file() {
        for counts in [RowCounts::Tables(vec![table(Some("public"), "a", 3), table(None, "b", 0)]), RowCounts::Unknown("too new".into())] {
            assert_eq!(serde_json::from_str::<RowCounts>(&counts.to_json()).unwrap(), counts);
        }
    }

    #[test]
    fn parts_are_joined_in_order_and_one_unknown_part_makes_all_unknown() {
        let [a, b] = ["a", "b"].map(|name| RowCounts::Tables(vec![table(None, name, 1)]));
        assert_eq!(RowCounts::join([b.clone(), a.clone()]), RowCounts::Tables(vec![table(None, "a", 1), table(None, "b", 1)]));
        assert_eq!(RowCounts::join([a, RowCounts::Unknown("x".into()), b]), RowCounts::Unknown("x".into()));
    }

    #[test]
    fn differences_name_the_table_and_both_counts() {
        let recorded = [table(Some("s"), "same", 1), table(Some("s"), "less", 5), table(None, "gone", 2)];
        let found = BTreeMap::from([(0, 1), (1, 4)]);
        assert_eq!(differences(&recorded, &found), ["s.less has 4 rows instead of 5", "gone is missing, with 2 rows"]);
    }
}
