//! One packet through a program, by `BPF_PROG_TEST_RUN`: no network is involved, and the kernel's own clock measures.

use aya::programs::{TestRun as _, TestRunOptions};

use crate::{attach::Hook, error::Error, programs::Programs};

/// What the program is told besides the bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Situation {
    /// `__sk_buff::ifindex`: the link that the program is on. It must exist in the network namespace of the calling
    /// thread; 0 and 1 are its loopback, which is told as 1.
    pub link: u32,
    /// `__sk_buff::ingress_ifindex`: the link that the packet came in by, any number; 0 is "made on this node".
    pub came_by: u32,
    /// `__sk_buff::mark`.
    pub mark: u32,
}

/// What came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ran {
    /// Whether the packet passed.
    pub passed: bool,
    /// What the program returned.
    pub action: i32,
    /// The mark afterwards.
    pub mark: u32,
    /// Nanoseconds per run, as the kernel measured over all of them.
    pub nanoseconds: u32,
}

/// `sizeof(struct __sk_buff)` of 5.10 and later; fields behind what a kernel knows must be zero, and are.
const CONTEXT: usize = 192;
const MARK: usize = 8;
const INGRESS_IFINDEX: usize = 36;
const IFINDEX: usize = 40;

const NEXT: i32 = -1;

impl Programs {
    /// Runs a frame of at least 14 bytes through a program so many times; the last run's answer is told.
    pub fn test_run(&mut self, hook: Hook, frame: &[u8], at: Situation, repeat: u32) -> Result<Ran, Error> {
        let mut context = [0; CONTEXT];
        for (offset, value) in [(MARK, at.mark), (INGRESS_IFINDEX, at.came_by), (IFINDEX, at.link)] {
            context[offset..offset + 4].copy_from_slice(&value.to_ne_bytes());
        }
        let mut after = [0; CONTEXT];
        let options = TestRunOptions {
            data_in: Some(frame),
            ctx_in: Some(&context),
            ctx_out: Some(&mut after),
            repeat,
            ..TestRunOptions::new()
        };
        let failed = |source| Error::Run { hook, length: frame.len(), source: Box::new(source) };
        let result = self.program(hook)?.test_run(options).map_err(failed)?;
        let action = result.return_value.cast_signed();
        let [a, b, c, d] = [after[MARK], after[MARK + 1], after[MARK + 2], after[MARK + 3]];
        Ok(Ran {
            passed: action == NEXT,
            action,
            mark: u32::from_ne_bytes([a, b, c, d]),
            nanoseconds: result.duration.as_nanos() as u32,
        })
    }
}
