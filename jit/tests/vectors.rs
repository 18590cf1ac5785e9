//! The vectors that C's checker and interpreter are tested with: the same verdicts, the same values.

use fastcap_jit::code::{Code, Error};
use fastcap_jit::frame::{Frame, Tags};
use fastcap_jit::instruction::Instruction;
use fastcap_jit::program::{Invalid, Source};
use fastcap_jit::translate::{Group, Kind};
use std::path::Path;

struct Run {
    frame: Vec<u8>,
    wire: u32,
    value: u32,
}

fn number(text: &str) -> u32 {
    u32::from_str_radix(text, 16).expect("a number in hex")
}

fn bytes(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(|digit| digit.is_ascii_hexdigit()).collect();
    digits.chunks(2).map(|pair| number(std::str::from_utf8(pair).expect("ASCII")) as u8).collect()
}

fn instruction(text: &str) -> Instruction {
    let parts: Vec<u32> = text.split(':').map(number).collect();
    Instruction {
        code: parts[0] as u16,
        flags: parts[1] as u16,
        k: parts[2],
        on_true: parts[3],
        on_false: parts[4],
    }
}

fn read(line: &str) -> (&str, Source, Vec<Run>) {
    let (verdict, rest) = line.split_once(' ').unwrap_or((line, ""));
    let mut source = Source::default();
    let mut runs = Vec::new();
    for word in rest.split(' ').filter(|word| !word.is_empty()) {
        match word.split_once('=') {
            None => source.instructions.push(instruction(word)),
            Some(("set", ranges)) => source.sets.push(
                ranges
                    .split(',')
                    .map(|range| range.split_once('-').expect("two ends"))
                    .map(|(first, last)| (number(first), number(last)))
                    .collect(),
            ),
            Some(("wide", text)) => {
                let (width, ranges) = text.split_once(':').expect("a width");
                source.wide_sets.push((number(width) as usize, bytes(ranges)));
            }
            Some(("pattern", text)) => source.patterns.push(bytes(text)),
            Some((_, run)) => {
                let parts: Vec<&str> = run.split(':').collect();
                let (wire, value) = (number(parts[1]), number(parts[2]));
                runs.push(Run { frame: bytes(parts[0]), wire, value });
            }
        }
    }
    (verdict, source, runs)
}

fn value_of(code: &Code, run: &Run) -> u32 {
    let frame = Frame {
        bytes: run.frame.as_ptr(),
        captured: run.frame.len() as u32,
        wire: run.wire,
        tagged: 0,
        tag: [0; 4],
    };
    // SAFETY: it is of `Kind::Run`, whose function this is.
    let function: extern "C" fn(&Frame, &Tags) -> u32 =
        unsafe { std::mem::transmute(code.address()) };
    function(&frame, &Tags::default())
}

fn is_taken(code: &Code, run: &Run) -> bool {
    let (pointer, captured) = (run.frame.as_ptr(), run.frame.len() as u32);
    let group = Group { bytes: &pointer, captured: &captured, wire: &run.wire, snaplen: u32::MAX };
    let mut taken = 0u64;
    // SAFETY: it is of `Kind::Judge`, whose function this is, and of one program.
    let function: extern "C" fn(&Group, u64, &mut u64) =
        unsafe { std::mem::transmute(code.address()) };
    function(&group, 1, &mut taken);
    taken == 1
}

fn check(number: usize, line: &str) {
    let (verdict, source, runs) = read(line);
    let sources = [source];
    let made = Code::new(&sources, Kind::Run);
    if let Some(bad) = verdict.strip_prefix("bad=") {
        let bad: usize = bad.parse().expect("a number");
        assert!(
            matches!(made, Err(Error::Invalid(0, Invalid(at))) if at == bad),
            "line {number}: taken, or refused for another instruction"
        );
        return;
    }
    let code = made.unwrap_or_else(|error| panic!("line {number}: {error}"));
    let judge = Code::new(&sources, Kind::Judge).expect("as valid");
    for run in runs {
        assert_eq!(value_of(&code, &run), run.value, "line {number}");
        assert_eq!(is_taken(&judge, &run), run.value != 0, "line {number}");
    }
}

#[test]
fn programs_are_taken_refused_and_run_as_in_c() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/vectors/programs.txt");
    let text = std::fs::read_to_string(path).expect("the vectors");
    let mut count = 0;
    for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.starts_with('#')) {
        check(number + 1, line);
        count += 1;
    }
    assert!(count > 500);
}

#[test]
fn nothing_and_too_much_are_refused() {
    let one = Source {
        instructions: vec![Instruction { code: 0x06, k: 1, ..Instruction::default() }],
        ..Source::default()
    };
    assert!(matches!(Code::new(&[], Kind::Judge), Err(Error::Count)));
    assert!(matches!(Code::new(&[one.clone(), one.clone()], Kind::Run), Err(Error::Count)));
    assert!(matches!(Code::new(&vec![one.clone(); 257], Kind::Judge), Err(Error::Count)));
    assert!(Code::new(&vec![one; 256], Kind::Judge).is_ok());
}
