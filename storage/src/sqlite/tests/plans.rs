//! No statement grows with the number of all users (law 10): SQLite plans each of them, and finds an
//! index for it. The statements are taken from this backend's source.

use rusqlite::Connection;
use std::{fs, path::Path};

/// One an aggregate.
const FILES: [&str; 7] =
    ["accounts", "health", "lists", "offline", "quarantine", "rosters", "sessions"];

/// Has no condition: it stops at the first row.
const FIRST_ROW: &str = "SELECT NOT EXISTS (SELECT 1 FROM accounts)";

/// The statements in a source: string literals that begin with a verb of SQL. What follows its first
/// `#[cfg(test)]` is not looked at.
fn statements(source: &str) -> Vec<String> {
    let product = source.split("#[cfg(test)]").next().unwrap();
    let verbs = ["SELECT ", "INSERT ", "DELETE ", "UPDATE ", "REPLACE "];
    // every second piece is inside of quotes
    let literals = product.split('"').skip(1).step_by(2);
    let sql = literals.filter(|text| verbs.iter().any(|verb| text.starts_with(verb)));
    sql.map(|text| text.replace("\\\n", " ")).collect()
}

#[test]
fn no_statement_scans_a_table() {
    let db = Connection::open_in_memory().unwrap();
    for step in crate::sqlite::file::STEPS {
        db.execute_batch(step).unwrap();
    }
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/sqlite");
    let mut planned = 0;
    for file in FILES {
        let source = fs::read_to_string(dir.join(file).with_extension("rs")).unwrap();
        for sql in statements(&source) {
            let mut plan = db.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
            let unbound = vec![rusqlite::types::Null; plan.parameter_count()];
            let steps = plan.query_map(rusqlite::params_from_iter(unbound), |row| row.get(3));
            let steps: Vec<String> = steps.unwrap().collect::<Result<_, _>>().unwrap();
            let scans = steps.iter().any(|step| step.starts_with("SCAN"));
            assert_eq!(scans, sql == FIRST_ROW, "{file}.rs: {sql}: {steps:?}");
            planned += 1;
        }
    }
    let written = |file: &str| {
        let source = fs::read_to_string(dir.join(file).with_extension("rs")).unwrap();
        source.matches("prepare").count()
    };
    let calls: usize = FILES.map(written).iter().sum();
    assert!(planned >= calls, "{planned} statements were found, {calls} are prepared");
}

#[test]
fn all_that_belongs_to_a_user_goes_with_the_account() {
    let db = Connection::open_in_memory().unwrap();
    for step in crate::sqlite::file::STEPS {
        db.execute_batch(step).unwrap();
    }
    let tables = "SELECT m.name FROM sqlite_master m JOIN pragma_table_info(m.name) c
                  WHERE m.type = 'table' AND c.name = 'user' AND m.name != 'accounts'";
    let mut select = db.prepare(tables).unwrap();
    let tables = select.query_map([], |row| row.get::<_, String>(0)).unwrap();
    let mut tables: Vec<String> = tables.map(Result::unwrap).collect();
    tables.sort();
    let mut emptied: Vec<&str> = crate::sqlite::accounts::OF_A_USER
        .iter()
        .map(|sql| sql.split(' ').nth(2).unwrap())
        .collect();
    emptied.sort_unstable();
    assert_eq!(emptied, tables);
}
