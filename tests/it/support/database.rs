//! Nodes that keep everything in a MongoDB of the test.

use super::PASSWORD;
use crate::support::Program;
use storage::testkit::ReplicaSet;

/// The options of a node that has a database of that set to itself.
pub fn options(set: &ReplicaSet) -> String {
    at(&set.uri(), &set.options("").database.unwrap())
}

/// The same, of this database. It is found to be away sooner than by default.
pub fn at(uri: &str, database: &str) -> String {
    format!(
        "storage.backend = 'mongodb'\nmongodb.uri = '{uri}'\nmongodb.database = '{database}'\n\
         mongodb.deadline = '1500ms'\n"
    )
}

/// Makes accounts of these names.
pub fn accounts(program: &Program, names: &[&str]) {
    let lines: String = names.iter().map(|name| format!("{name}@localhost {PASSWORD}\n")).collect();
    program.say_with(&["account", "import"], &lines).good();
}
