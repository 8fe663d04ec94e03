//! Whether the tables of a restored database hold the rows that were counted while it was dumped.

use std::collections::BTreeMap;

use crate::job::JobError;
use crate::source::database::rows::{TableRows, differences};

/// Longest query, in bytes: it is an argument of a program, of which Linux takes 128 KiB.
const QUERY: usize = 60_000;

/// How the rows of tables are known, or asked for. Tables go by their place among those that were recorded.
pub(super) struct Counts {
    /// What is known without asking.
    pub found: BTreeMap<usize, u64>,
    /// Queries that give the place and the rows of one table each.
    pub queries: Vec<String>,
    /// What stands between the two in an answer.
    pub separator: char,
}

impl Counts {
    /// Asks the server, and compares.
    pub fn compare(
        mut self,
        database: &str,
        recorded: &[TableRows],
        ask: impl Fn(&str) -> Result<Vec<String>, JobError>,
    ) -> Result<(), JobError> {
        for query in together(&self.queries, " union all ", QUERY) {
            let numbers = |line: String| {
                let (place, rows) = line.split_once(self.separator)?;
                Some((place.parse::<usize>().ok()?, rows.parse::<u64>().ok()?))
            };
            self.found.extend(ask(&query)?.into_iter().filter_map(numbers));
        }
        let differences = differences(recorded, &self.found);
        if differences.is_empty() { Ok(()) } else { Err(JobError::RowsDiffer { database: database.to_owned(), differences }) }
    }
}

/// Queries joined to longer ones of at most so many bytes each, or of one query.
fn together(queries: &[String], between: &str, most: usize) -> Vec<String> {
    let mut joined: Vec<String> = Vec::new();
    for query in queries {
        match joined.last_mut() {
            Some(last) if last.len() + between.len() + query.len() <= most => {
                last.push_str(between);
                last.push_str(query);
            }
            _ => joined.push(query.clone()),
        }
    }
    joined
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_are_joined_up_to_a_length_and_none_is_lost() {
        let queries: Vec<String> = ["one", "two", "three", "four"].map(str::to_owned).to_vec();
        assert_eq!(together(&queries, "+", 9), ["one+two", "three", "four"]);
        assert_eq!(together(&queries, "+", 1), ["one", "two", "three", "four"]);
        assert_eq!(together(&queries, "+", 100), ["one+two+three+four"]);
        assert!(together(&[], "+", 9).is_empty());
    }
}
