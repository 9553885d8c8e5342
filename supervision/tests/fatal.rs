//! What no process survives, nor the program: what is said, and what whoever started it sees. Each
//! test runs itself again as a program of its own.
#![expect(clippy::unwrap_used, clippy::print_stderr, reason = "a test")]

mod common;

use std::{
    env,
    os::unix::process::ExitStatusExt,
    process::{Command, Stdio},
};
use supervision::{ChildSpec, Cx, Exit, InitError, Next, Server, SupervisorSpec};

/// Tells a test that it is the program.
const INSIDE: &str = "SUPERVISION_FATAL";
const SIGABRT: i32 = 6;

/// Does what it is told, until nothing can be done any more.
struct Doomed;

type Deed = fn();

impl Server for Doomed {
    type Args = ();
    type Msg = Deed;
    const NAME: &'static str = "doomed";

    async fn init((): (), cx: &mut Cx<Deed>) -> Result<Self, InitError> {
        cx.register("doomed")?;
        Ok(Self)
    }

    async fn handle(&mut self, deed: Deed, _: &mut Cx<Deed>) -> Next {
        deed();
        Next::Stop(Exit::error("it went on"))
    }
}

/// Runs `deed` in a process of a program of its own; what the program said before it ended.
fn last_words(test: &str, deed: Deed) -> String {
    if env::var_os(INSIDE).is_some() {
        let mut runtime = tokio::runtime::Builder::new_multi_thread();
        let runtime = runtime.worker_threads(2).thread_name("scheduler").enable_all();
        runtime.build().unwrap().block_on(async {
            let system = common::system("fatal");
            let child = ChildSpec::server::<Doomed>("doomed", || ());
            let root = system.start(SupervisorSpec::one_for_one().child(child)).await.unwrap();
            let doomed = system.lookup::<Deed>("doomed").unwrap();
            doomed.cast(deed).unwrap();
            eprintln!("it ended: {}", doomed.pid().wait().await);
            root.stop().await;
        });
        return String::new();
    }
    let ended = Command::new(env::current_exe().unwrap())
        .args(["--exact", &format!("{}{test}", within()), "--nocapture"])
        .env(INSIDE, "1")
        .stdout(Stdio::null())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&ended.stderr).into_owned();
    // a supervisor outside (systemd, a container's) sees a crash, and that it was no exit
    assert_eq!((ended.status.signal(), ended.status.code()), (Some(SIGABRT), None), "{said}");
    assert!(!said.contains("it ended"), "{said}");
    said
}

/// The module these tests are in, where they are not the program.
fn within() -> String {
    module_path!().split_once("::").map(|(_, path)| format!("{path}::")).unwrap_or_default()
}

fn is_outside() -> bool {
    env::var_os(INSIDE).is_none()
}

#[test]
fn a_stack_overflow_ends_the_program_and_names_the_thread() {
    fn deeper(n: u64) -> u64 {
        let room = std::hint::black_box([n; 512]);
        if n == u64::MAX { 0 } else { deeper(n + 1).wrapping_add(room[0]) }
    }
    let said = last_words("a_stack_overflow_ends_the_program_and_names_the_thread", || {
        std::hint::black_box(deeper(0));
    });
    if is_outside() {
        assert!(said.contains("thread 'scheduler'"), "{said}");
        assert!(said.contains("has overflowed its stack"), "{said}");
    }
}

#[test]
fn memory_that_ran_out_ends_the_program_and_says_how_much_was_asked_for() {
    const ASKED: usize = isize::MAX as usize;
    let test = "memory_that_ran_out_ends_the_program_and_says_how_much_was_asked_for";
    let said = last_words(test, || {
        std::hint::black_box(Vec::<u8>::with_capacity(std::hint::black_box(ASKED)));
    });
    if is_outside() {
        assert!(said.contains(&format!("memory allocation of {ASKED} bytes failed")), "{said}");
    }
}

#[test]
fn a_panic_while_another_unwinds_ends_the_program_and_both_are_said() {
    struct Second;
    impl Drop for Second {
        fn drop(&mut self) {
            panic!("the second");
        }
    }
    let test = "a_panic_while_another_unwinds_ends_the_program_and_both_are_said";
    let said = last_words(test, || {
        let _second = Second;
        panic!("the first");
    });
    if is_outside() {
        for text in ["the first", "the second", "thread 'scheduler'", "tests/fatal.rs:"] {
            assert!(said.contains(text), "{text}: {said}");
        }
    }
}
