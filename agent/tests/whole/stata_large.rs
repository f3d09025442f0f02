//! A log larger than memory is judged by reading little of it at a time.

use std::io::{self, Read, Seek, SeekFrom};

use longhaul_agent::stata::judge::LogEnd;
use longhaul_agent::stata::judge_file;

use crate::Test;

pub(crate) const TESTS: &[Test] = &[
    ("four_gibibytes_that_ended_well", four_gibibytes_that_ended_well),
    ("the_command_that_failed_is_found_far_back", the_command_that_failed_is_found_far_back),
];

/// A file that exists only as a rule: a head, one line repeated very often, a tail.
struct Virtual {
    head: &'static [u8],
    line: &'static [u8],
    times: u64,
    tail: &'static [u8],
    pos: u64,
    /// The longest stretch read without seeking, bytes.
    longest: u64,
    stretch: u64,
}

impl Virtual {
    fn middle(&self) -> u64 {
        self.line.len() as u64 * self.times
    }
}

impl Read for Virtual {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let (head, middle) = (self.head.len() as u64, self.middle());
        let part = if self.pos < head {
            &self.head[self.pos as usize..]
        } else if self.pos < head + middle {
            &self.line[((self.pos - head) % self.line.len() as u64) as usize..]
        } else {
            &self.tail[((self.pos - head - middle) as usize).min(self.tail.len())..]
        };
        let n = part.len().min(buffer.len());
        buffer[..n].copy_from_slice(&part[..n]);
        self.pos += n as u64;
        self.stretch += n as u64;
        self.longest = self.longest.max(self.stretch);
        Ok(n)
    }
}

impl Seek for Virtual {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let len = self.head.len() as u64 + self.middle() + self.tail.len() as u64;
        self.pos = match to {
            SeekFrom::Start(at) => at,
            SeekFrom::End(by) => len.saturating_add_signed(by),
            SeekFrom::Current(by) => self.pos.saturating_add_signed(by),
        };
        self.stretch = 0;
        Ok(self.pos)
    }
}

fn check(times: u64, tail: &'static [u8], state: LogEnd, command: Option<&str>) {
    let head = b"\n. do main.do \n\n. forvalues i = 1/9 {\n  2.   p `i'\n  3. }\n";
    let line = [b'x'; 1023];
    let line: &'static [u8] = Box::leak([line.as_slice(), b"\n"].concat().into_boxed_slice());
    let mut file = Virtual { head, line, times, tail, pos: 0, longest: 0, stretch: 0 };
    let found = judge_file(&mut file).unwrap();
    assert_eq!((found.state, found.command.as_deref()), (state, command));
    assert!(file.longest <= 4 << 20, "read {} bytes in one go", file.longest);
}

fn four_gibibytes_that_ended_well() {
    check(4 << 20, b"\n. \nend of do-file\n", LogEnd::Succeeded, None);
}

fn the_command_that_failed_is_found_far_back() {
    let tail = b"no\nr(9);\n\nend of do-file\nr(9);\n";
    check(32 << 10, tail, LogEnd::Failed, Some("forvalues i = 1/9 {"));
}
