//! The generated interface, driven from C: results, state, errors and their messages.

mod common;

use common::{has_valgrind, library, program, run, stdout};
use pt2c_library::WeightsPlacement;
use std::process::Command;

const BASIC: &str = "\
needed: out 8 (2 x 4), positive 8 (-1)
out 11 16 39 24 15 32 9 72
positive (5) 1 3 5 6 8
total 15, y[0] 3, calls 3
changed bias: 101
after reset: 11, calls 1
NaN: status 5, x holds NaN at element 5
again: status 0, \"\"
empty: status 0, 
empty shapes 0 x 4, 0
model scale: 3 inputs, first word of n 5, dim text 2*s0 + 1, y position 2
";

#[test]
fn runs_with_any_number_of_threads() {
    let folder = tempfile::tempdir().unwrap();
    library("scale", folder.path(), WeightsPlacement::Embedded);
    let program = program("basic.c", folder.path(), &["scale"], &[]);
    for threads in ["1", "2", "4", "0"] {
        assert_eq!(stdout(&program, &[threads]), BASIC, "{threads} threads");
    }
    if has_valgrind("runs_with_any_number_of_threads") {
        for threads in ["1", "3"] {
            run(Command::new("valgrind")
                .args(["-q", "--error-exitcode=9", "--leak-check=full", "--show-leak-kinds=all"])
                .arg(&program)
                .arg(threads));
        }
    }
}

#[test]
fn every_violation_is_named() {
    let folder = tempfile::tempdir().unwrap();
    library("scale", folder.path(), WeightsPlacement::Embedded);
    let program = program("errors.c", folder.path(), &["scale"], &[]);
    let expected = "\
fixed size: 1 input \"x\": dimension 1 is 5, but must be 4
above range: 1 input \"x\": dimension 0 is 66, but must be at most 64 (s0 <= 64)
negative: 1 input \"x\": dimension 0 is -1, but must not be negative
integer below range: 1 input \"n\": its value is 1, but must be at least 2 (s1 >= 2)
derived: 1 input \"batch[\"y\"]\": dimension 0 is 6, but must be 5 (2*s0 + 1, where s0 = 2 is dimension 0 of input \"x\")
divisibility: 1 input \"x\": dimension 0 is 3, but must be even (s0 % 2 == 0)
two symbols: 1 input \"n\": its value is 2, but must satisfy s0 <= 8*s1, where s0 = 20 is dimension 0 of input \"x\" and s1 = 2 is input \"n\"
null input: 1 input \"x\": data is NULL, but 8 elements are expected
misaligned input: 1 input \"x\": data is not aligned: its address must be a multiple of 4 (float32)
null output: 1 output \"out\": data is NULL, but 8 elements are expected
small output: 2 output \"out\": capacity is 7, but 8 elements are needed (shape [2, 4])
misaligned output: 1 output \"out\": data is not aligned: its address must be a multiple of 4 (float32)
small computed output: 2 output \"positive\": capacity is 0, but 1 element is needed (shape [1])
null structs: 1 the inputs are NULL; 1 the outputs are NULL; 1 there is no context: out of memory, or its address was not given
threads: 1 options: threads is -1, but must be between 0 (automatic) and 1024
run on it: 1 options: threads is -1, but must be between 0 (automatic) and 1024
size: 1 options: size is 8, but must be 48 (start from the options_default function of this library's header)
capacity: 1 options: capacity.s0 is 65, but must be between 0 (no statement) and 64
create without a place: 1
";
    assert_eq!(stdout(&program, &[]), expected);
}
