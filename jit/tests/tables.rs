//! Sets beside a look at each of their ranges.

use fastcap_jit::tables::{NumberSet, WideSet};

/// Numbers that are random enough, and the same each time (Knuth, TAOCP 2, 3.3.4).
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u32 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 32) as u32
    }
}

fn ranges(numbers: &mut Numbers, count: usize, most: u32) -> Vec<(u32, u32)> {
    let mut ends: Vec<u32> = (0..2 * count).map(|_| numbers.next() % most).collect();
    ends.sort_unstable();
    ends.dedup();
    let mut made: Vec<(u32, u32)> = ends.chunks_exact(2).map(|two| (two[0], two[1])).collect();
    made.iter_mut().step_by(2).for_each(|range| range.1 = range.0);
    made
}

fn has(ranges: &[(u32, u32)], value: u32) -> bool {
    ranges.iter().any(|range| (range.0..=range.1).contains(&value))
}

#[test]
fn sets_of_every_size_hold_their_ranges_and_nothing_else() {
    let mut numbers = Numbers(1);
    for count in [0, 1, 3, 6, 7, 20, 100, 3000] {
        for most in [300, 0x1_0000, 0x10_0000, u32::MAX] {
            let ranges = ranges(&mut numbers, count, most);
            let set = NumberSet::new(&ranges);
            let ends = ranges.iter().flat_map(|range| {
                [range.0.wrapping_sub(1), range.0, range.1, range.1.wrapping_add(1)]
            });
            let others = (0..1000).map(|_| numbers.next() % most);
            for value in ends.chain(others).chain([0, 0xffff, 0x1_0000, u32::MAX]) {
                assert_eq!(set.has(value), has(&ranges, value), "{count} below {most}: {value}");
            }
        }
    }
}

#[test]
fn whole_upper_halves_are_held() {
    let mut ranges: Vec<(u32, u32)> = (0..8).map(|n| (n * 4, n * 4 + 1)).collect();
    ranges.push((0x1_0000, 0x4_ffff));
    ranges.push((u32::MAX, u32::MAX));
    let set = NumberSet::new(&ranges);
    for value in [0x1_0000, 0x2_1234, 0x4_ffff, u32::MAX, 0, 29] {
        assert!(set.has(value), "{value}");
    }
    for value in [0x5_0000, 2, 0xffff, u32::MAX - 1] {
        assert!(!set.has(value), "{value}");
    }
}

#[test]
fn wide_sets_hold_their_ranges_and_nothing_else() {
    let mut numbers = Numbers(2);
    for count in [0, 1, 5, 200] {
        let ranges = ranges(&mut numbers, count, 0x10_0000);
        let mut pairs = Vec::new();
        for (first, last) in &ranges {
            pairs.extend([0xfe; 12].iter().chain(&first.to_be_bytes()));
            pairs.extend([0xfe; 12].iter().chain(&last.to_be_bytes()));
        }
        let set = WideSet::new(16, &pairs);
        for _ in 0..2000 {
            let value = numbers.next() % 0x10_0000;
            let bytes = [[0xfe; 12].as_slice(), &value.to_be_bytes()].concat();
            assert_eq!(set.has(&bytes), has(&ranges, value), "{value}");
        }
        assert!(
            ranges.iter().all(|r| set.has(&[[0xfe; 12].as_slice(), &r.0.to_be_bytes()].concat()))
        );
        assert!(!set.has(&[0; 16]));
    }
}
