//! Real MongoDB servers for tests, also those of other crates: started on free ports in folders of their own, killed,
//! stopped and gone with the test.
//!
//! The program is `MONGOD`, or what `cargo xtask mongod` has put into `target/mongod`.

mod member;
mod replica_set;
mod secrets;

pub use member::Member;
pub use replica_set::ReplicaSet;
pub use secrets::Secrets;

/// What goes wrong with a server of the tests ends them.
pub type KitError = Box<dyn std::error::Error + Send + Sync>;

/// What a server says to a command, `{name: of, ...rest}` in Extended JSON, so that other crates' tests need no driver.
async fn say(
    client: &mongodb::Client,
    database: &str,
    (name, of): (&str, &str),
    rest: serde_json::Value,
) -> Result<serde_json::Value, KitError> {
    let mut command = mongodb::bson::doc! { name: of };
    if let mongodb::bson::Bson::Document(rest) = rest.try_into()? {
        command.extend(rest);
    }
    let said = client.database(database).run_command(command).await?;
    let errors = said.get_array("writeErrors").is_ok_and(|errors| !errors.is_empty());
    match errors {
        true => Err(format!("{said}").into()),
        false => Ok(mongodb::bson::Bson::from(said).into_relaxed_extjson()),
    }
}
