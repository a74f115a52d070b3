//! Processes: how one is started, and how it notices the end of the one that started it.

mod arrive;
mod forkserver;
mod given;
mod lifeline;
mod order;
mod serve;
mod start;
mod statuses;

pub use crate::platform::{FIRST_DESCRIPTOR, duplicate, spawn};
pub use arrive::{ChildEnd, arrive};
pub(crate) use given::check_version;
pub use given::{GIVEN, Given, given_bytes, take_given};
pub use lifeline::hold;
pub use order::Progress;
pub use start::{Program, StartMethod, Started, start, start_program};
pub use statuses::{ENTRIES, Statuses};

#[cfg(test)]
mod tests {
    use std::ffi::CString;
    use std::io::{PipeReader, PipeWriter, Read, pipe};
    use std::os::fd::AsRawFd;

    use crate::platform::{FIRST_DESCRIPTOR, spawn};

    fn run(script: &str, descriptors: &[i32]) -> i32 {
        let arguments = ["sh", "-c", script].map(|a| CString::new(a).unwrap());
        spawn(c"/bin/sh", &arguments, &[c"NAME=value".into()], descriptors, 0).unwrap()
    }

    fn output(script: impl Fn(i32) -> String) -> String {
        let (mut reader, writer): (PipeReader, PipeWriter) = pipe().unwrap();
        run(&script(FIRST_DESCRIPTOR), &[writer.as_raw_fd()]);
        drop(writer);
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        text
    }

    #[test]
    fn a_spawned_program_has_the_listed_descriptors_and_no_others() {
        let listed = output(|fd| {
            format!("exec >&{fd}; for n in 0 1 2 3 4 5 6 7 8 9; do [ -e /proc/$$/fd/$n ] && echo $n; done")
        });
        assert_eq!(listed, "0\n1\n2\n3\n");
    }

    #[test]
    fn a_spawned_program_has_the_environment_given() {
        assert_eq!(output(|fd| format!("echo $NAME >&{fd}")), "value\n");
    }

    #[test]
    fn a_spawned_program_blocks_and_ignores_nothing() {
        let status = output(|fd| format!("grep -E 'Sig(Blk|Ign)' /proc/self/status >&{fd}"));
        let masks = status.lines().map(|line| u64::from_str_radix(&line[8..], 16).unwrap());
        let the_c_library_s_own = 0b11 << 31; // 32 and 33, which no program can set
        assert!(masks.into_iter().all(|mask| mask & !the_c_library_s_own == 0), "{status}");
    }

    #[test]
    fn a_program_that_is_not_there_is_an_error() {
        let failure = spawn(c"/no/such/program", &[], &[], &[], 0).unwrap_err();
        assert_eq!(failure.errno(), Some(2));
    }
}
