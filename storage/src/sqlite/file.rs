//! The file: who may use it, how it is opened, its schema and the steps that lead to it.

use super::OpenError;
use rusqlite::{Connection, ErrorCode, OpenFlags, config::DbConfig};
use std::{
    fs::{self, DirBuilder, File, OpenOptions, Permissions, TryLockError},
    io::{self, ErrorKind, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
    time::Duration,
};

/// Each step leads from one schema version (`user_version`) to the next. A step that was released
/// is never changed.
pub(super) const STEPS: &[&str] = &[
    include_str!("schema-1.sql"),
    include_str!("schema-2.sql"),
    include_str!("schema-3.sql"),
    include_str!("schema-4.sql"),
    include_str!("schema-5.sql"),
    include_str!("schema-6.sql"),
    include_str!("schema-7.sql"),
];

/// How long to wait for a lock of another program (a backup, say).
const BUSY: Duration = Duration::from_secs(5);

/// A file up to this size is checked as a whole when it is opened, in a fraction of a second.
const CHECKED: u64 = 32 << 20;

/// Page cache in KiB.
const READER_CACHE: u32 = 16 << 10;

/// Takes a file in the directory for this process, by a lock of that name: caches would not notice what another one writes.
pub(crate) fn claim(dir: &Path, name: &str) -> Result<File, OpenError> {
    let io = |path: &Path| {
        let path = path.to_owned();
        move |error| OpenError::Io { path, error }
    };
    DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(io(dir))?;
    let path = dir.join(name);
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false).mode(0o600);
    let lock = options.open(&path).map_err(io(&path))?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => Err(OpenError::InUse { dir: dir.to_owned() }),
        Err(TryLockError::Error(error)) => Err(io(&path)(error)),
    }
}

/// Opens the file for writing, with so many KiB of page cache, and brings its schema up to date. It is never larger than
/// `max_bytes`.
pub(crate) fn writer(
    path: &Path,
    steps: &[&str],
    cache: u32,
    max_bytes: Option<u64>,
) -> Result<Connection, OpenError> {
    let open = || -> Result<Connection, Problem> {
        let mut db = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE, cache)?;
        let mode: String = db.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0))?;
        if mode != "wal" {
            let why = "its file system does not allow write-ahead logging (a network drive?)";
            return Err(OpenError::Failed { path: path.to_owned(), why: why.to_owned() }.into());
        }
        db.execute_batch(
            "PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 4000;
             PRAGMA journal_size_limit = 67108864;",
        )?;
        if let Some(bytes) = max_bytes {
            let page: u32 = db.query_row("PRAGMA page_size", [], |row| row.get(0))?;
            let pages = bytes.div_ceil(u64::from(page.max(1))).min(u64::from(u32::MAX - 1));
            db.query_row(&format!("PRAGMA max_page_count = {pages}"), [], |_| Ok(()))?;
        }
        migrate(&mut db, path, steps)?;
        Ok(db)
    };
    open().map_err(|problem| problem.at(path))
}

/// Opens it for reading.
pub(super) fn reader(path: &Path) -> Result<Connection, OpenError> {
    connect(path, OpenFlags::SQLITE_OPEN_READ_ONLY, READER_CACHE)
        .map_err(|error| Problem::from(error).at(path))
}

/// Checks a file that is not too large for it. `false`: it is.
pub(crate) fn check(db: &Connection, path: &Path) -> Result<bool, OpenError> {
    if fs::metadata(path).is_ok_and(|file| file.len() > CHECKED) {
        return Ok(false);
    }
    let answer: Result<String, _> = db.query_row("PRAGMA quick_check(1)", [], |row| row.get(0));
    match answer {
        Ok(answer) if answer == "ok" => Ok(true),
        Ok(why) => Err(OpenError::Damaged { path: path.to_owned(), why }),
        Err(error) => Err(Problem::from(error).at(path)),
    }
}

/// Makes the file if it is not there. Nobody else may read it; SQLite gives those beside it the
/// same mode. Only before a connection is open: closing any descriptor of a file gives up the locks
/// that SQLite has on it.
pub(crate) fn make(path: &Path) -> Result<(), OpenError> {
    let make = || {
        let mut options = OpenOptions::new();
        let file = options.write(true).create(true).truncate(false).mode(0o600).open(path)?;
        if file.metadata()?.mode() & 0o077 != 0 {
            file.set_permissions(Permissions::from_mode(0o600))?;
        }
        Ok(())
    };
    make().map_err(|error| OpenError::Io { path: path.to_owned(), error })
}

fn connect(path: &Path, mode: OpenFlags, cache: u32) -> rusqlite::Result<Connection> {
    let db = Connection::open_with_flags(path, mode | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    db.busy_timeout(BUSY)?;
    db.set_prepared_statement_cache_capacity(128);
    // a prepared statement is not planned anew for each value that is bound to it
    db.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    db.execute_batch(&format!("PRAGMA cache_size = -{cache}; PRAGMA temp_store = MEMORY;"))?;
    Ok(db)
}

/// Takes the steps that are missing, each with its version in one transaction.
fn migrate(db: &mut Connection, path: &Path, steps: &[&str]) -> Result<(), Problem> {
    let found: i64 = db.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    let done = usize::try_from(found).ok().filter(|done| *done <= steps.len());
    let Some(done) = done else {
        let known = steps.len();
        return Err(OpenError::Newer { path: path.to_owned(), found, known }.into());
    };
    for (step, version) in steps.iter().zip(1..).skip(done) {
        let step: &str = step;
        let change = db.transaction()?;
        change.execute_batch(step)?;
        change.pragma_update(None, "user_version", version)?;
        change.commit()?;
    }
    Ok(())
}

/// As much as SQLite wants on the disk to open a file, in bytes.
const ROOM: usize = 256 << 10;

/// What the system says when there is no room beside a file.
fn full(path: &Path) -> Option<io::Error> {
    let probe = path.with_extension("room");
    let write = || -> io::Result<()> {
        let mut options = OpenOptions::new();
        let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&probe)?;
        file.write_all(&vec![0; ROOM])?;
        file.sync_all()
    };
    let written = write();
    drop(fs::remove_file(&probe));
    let full = |kind| {
        matches!(kind, ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge)
    };
    written.err().filter(|error| full(error.kind()))
}

fn no_room(path: PathBuf, why: String) -> OpenError {
    let disk = mounted_at(&path);
    OpenError::NoRoom { path, disk, why }
}

/// Where the disk is mounted that a file is on: the uppermost of the directories above it that are on the same.
fn mounted_at(path: &Path) -> PathBuf {
    let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let disk = |path: &Path| fs::metadata(path).ok().map(|file| file.dev());
    let on = disk(&path);
    path.ancestors().take_while(|above| disk(above) == on).last().unwrap_or(&path).to_owned()
}

/// What can go wrong inside, before the path is known.
enum Problem {
    Open(OpenError),
    Sql(rusqlite::Error),
}

impl From<OpenError> for Problem {
    fn from(error: OpenError) -> Self {
        Self::Open(error)
    }
}

impl From<rusqlite::Error> for Problem {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sql(error)
    }
}

impl Problem {
    fn at(self, path: &Path) -> OpenError {
        match self {
            Self::Open(error) => error,
            Self::Sql(error) => {
                let (path, why) = (path.to_owned(), error.to_string());
                match error.sqlite_error_code() {
                    Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
                        OpenError::Damaged { path, why }
                    }
                    Some(ErrorCode::DiskFull) => no_room(path, why),
                    // SQLite says no more than "disk I/O error" of files that are not written like others
                    _ => match full(&path) {
                        Some(error) => no_room(path, error.to_string()),
                        None => OpenError::Failed { path, why },
                    },
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(db: &Connection) -> i64 {
        db.query_row("PRAGMA user_version", [], |row| row.get(0)).unwrap()
    }

    #[test]
    fn an_older_file_is_brought_up_to_date_and_keeps_what_is_in_it() {
        let mut db = Connection::open_in_memory().unwrap();
        let path = Path::new("core.sqlite");
        let one = "CREATE TABLE t (a TEXT); INSERT INTO t VALUES ('kept');";
        let two = "ALTER TABLE t ADD COLUMN b TEXT NOT NULL DEFAULT 'new';";
        assert!(migrate(&mut db, path, &[one]).is_ok());
        assert_eq!(version(&db), 1);
        assert!(migrate(&mut db, path, &[one, two]).is_ok());
        assert_eq!(version(&db), 2);
        let row = db.query_row("SELECT a, b FROM t", [], |r| Ok((r.get(0)?, r.get(1)?)));
        assert_eq!(row, Ok(("kept".to_owned(), "new".to_owned())));
    }

    #[test]
    fn offline_messages_of_before_weigh_what_they_are_and_are_nobody_s() {
        let mut db = Connection::open_in_memory().unwrap();
        let path = Path::new("core.sqlite");
        assert!(migrate(&mut db, path, &STEPS[..1]).is_ok());
        let old =
            "INSERT INTO offline (user, at, stanza) VALUES ('a@x', 1, '<message>é</message>')";
        db.execute_batch(old).unwrap();
        assert!(migrate(&mut db, path, STEPS).is_ok());
        let sql = "SELECT sender, bytes FROM offline WHERE user = 'a@x'";
        let row = db.query_row(sql, [], |r| Ok((r.get(0)?, r.get(1)?)));
        assert_eq!(row, Ok((String::new(), 21)));
    }

    #[test]
    fn a_step_that_fails_changes_nothing_and_can_be_taken_again() {
        let mut db = Connection::open_in_memory().unwrap();
        let path = Path::new("core.sqlite");
        let bad = "CREATE TABLE t (a TEXT); INSERT INTO nowhere VALUES (1);";
        assert!(migrate(&mut db, path, &[bad]).is_err());
        assert_eq!(version(&db), 0);
        assert!(migrate(&mut db, path, &["CREATE TABLE t (a TEXT)"]).is_ok());
        assert_eq!(version(&db), 1);
    }
}
