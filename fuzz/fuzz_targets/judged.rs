//! Fuzz target `judged`: what the framer takes is the same to expat and to libxml2 before and after it
//! was forwarded, and they refuse none of it. The judges are linked in (`build.rs`).
#![no_main]

#[path = "../../xmpp/tests/checks/mod.rs"]
#[allow(dead_code, reason = "each target uses one of the checks")]
mod checks;

use std::ffi::{c_char, c_void};
use xmpp::framer::Limits;

unsafe extern "C" {
    fn judge_expat(xml: *const c_char, xml_len: usize, len: *mut usize) -> *mut c_char;
    fn judge_libxml2(xml: *const c_char, xml_len: usize, len: *mut usize) -> *mut c_char;
    fn free(data: *mut c_void);
}

type Judge = unsafe extern "C" fn(*const c_char, usize, *mut usize) -> *mut c_char;

fn ask(judge: Judge, document: &[u8]) -> String {
    let mut len = 0;
    // SAFETY: it reads so many bytes, and hands over so many that it has allocated
    unsafe {
        let said = judge(document.as_ptr().cast(), document.len(), &mut len);
        let text = match said.is_null() {
            true => String::new(),
            false => String::from_utf8_lossy(std::slice::from_raw_parts(said.cast(), len)).into_owned(),
        };
        free(said.cast());
        text
    }
}

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let cut = usize::from(data.last().copied().unwrap_or_default()) + 1;
    checks::in_pieces(data, Limits::default(), &[1, cut]);
    for case in checks::judged::cases(data, Limits::default()) {
        let said = |document: &[u8]| [ask(judge_expat, document), ask(judge_libxml2, document)];
        let (received, forwarded) = (said(&case.received), said(&case.forwarded));
        case.compare([&received[0], &received[1]], [&forwarded[0], &forwarded[1]]);
    }
});
