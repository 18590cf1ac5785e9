//! Tests of A, and what is known behind them.

use super::*;

impl<'a, 'b> Translator<'a, 'b> {
    /// Whether bytes are a value, without turning them into a number.
    pub(super) fn equals(&mut self, bytes: Bytes, value: u32) -> Value {
        let (lies, wanted) = self.masked(bytes, value);
        self.b.ins().icmp(IntCC::Equal, lies, wanted)
    }

    pub(super) fn masked(&mut self, bytes: Bytes, value: u32) -> (Value, Value) {
        let lies = self.as_they_lie(bytes);
        let (kind, mask, value) = match bytes.size {
            1 => (I8, i64::from(bytes.mask), i64::from(value)),
            2 => (I16, i64::from((bytes.mask as u16).to_be()), i64::from((value as u16).to_be())),
            _ => (I32, i64::from(bytes.mask.to_be()), i64::from(value.to_be())),
        };
        let mut masked = lies;
        if bytes.mask != full(bytes.size) {
            let mask = self.b.ins().iconst(kind, mask);
            masked = self.b.ins().band(lies, mask);
        }
        (masked, self.b.ins().iconst(kind, value))
    }

    pub(super) fn compare(
        &mut self,
        node: &mut Node,
        how: Comparison,
        operand: Operand,
        on_true: u32,
        on_false: u32,
    ) -> Step {
        if on_true == on_false {
            return Step::To(on_true);
        }
        let constant = match operand {
            Operand::K(k) => Some(k),
            Operand::X => node.state.x,
        };
        match (node.state.a, constant) {
            (Known::Constant(a), Some(k)) => {
                Step::To(if holds(how, a, k) { on_true } else { on_false })
            }
            (Known::Bytes(bytes), Some(k)) if how == Comparison::Equal => {
                self.is_equal(node, bytes, k, on_true, on_false)
            }
            (Known::Bytes(bytes), Some(k)) if how == Comparison::AnyBit => {
                let some = Bytes { mask: bytes.mask & k, ..bytes };
                if some.mask == 0 {
                    return Step::To(on_false);
                }
                self.is_equal(node, some, 0, on_false, on_true)
            }
            (a, Some(k)) => {
                if let Some(step) = self.is_between(node, how, k, on_true, on_false) {
                    return step;
                }
                let a = self.number(a);
                let k = self.b.ins().iconst(I32, i64::from(k));
                let test = self.test(how, a, k);
                self.branch(node, test, on_true, on_false)
            }
            (a, None) => {
                let a = self.number(a);
                let x = self.index(None);
                let test = self.test(how, a, x);
                self.branch(node, test, on_true, on_false)
            }
        }
    }

    /// What a return behind jumps says, if a way leads to one at once.
    fn verdict(&self, node: &Node, mut at: u32) -> Option<bool> {
        let operations = &self.programs[node.program].operations;
        while let Operation::Jump { to } = operations[at as usize] {
            at = to;
        }
        match operations[at as usize] {
            Operation::Return { value } => Some(value != 0),
            _ => None,
        }
    }

    /// The last test of the one program of a function becomes the frame's bit, without a branch:
    /// nobody foresees whether the next frame is TCP.
    pub(super) fn take_if(
        &mut self,
        node: &Node,
        holds: Value,
        on_true: u32,
        on_false: u32,
    ) -> Option<Step> {
        let (yes, no) = (self.verdict(node, on_true)?, self.verdict(node, on_false)?);
        if yes == no || self.kind != Kind::Judge || self.caller.taken.is_some() {
            return None;
        }
        let condition = if yes { IntCC::NotEqual } else { IntCC::Equal };
        let flag = self.b.ins().icmp_imm(condition, holds, 0);
        let flag = self.b.ins().uextend(I64, flag);
        let place = self.view().place;
        let bit = self.b.ins().ishl(flag, place);
        let bits = self.b.use_var(self.bits);
        let bits = self.b.ins().bor(bits, bit);
        self.b.def_var(self.bits, bits);
        let head = self.next_frame.expect("a loop");
        self.b.ins().jump(head, &[]);
        Some(Step::Done)
    }

    pub(super) fn test(&mut self, how: Comparison, a: Value, b: Value) -> Value {
        match how {
            Comparison::Equal => self.b.ins().icmp(IntCC::Equal, a, b),
            Comparison::Greater => self.b.ins().icmp(IntCC::UnsignedGreaterThan, a, b),
            Comparison::AtLeast => self.b.ins().icmp(IntCC::UnsignedGreaterThanOrEqual, a, b),
            Comparison::AnyBit => self.b.ins().band(a, b),
        }
    }

    pub(super) fn is_equal(
        &mut self,
        node: &Node,
        bytes: Bytes,
        value: u32,
        on_true: u32,
        on_false: u32,
    ) -> Step {
        if value & !bytes.mask != 0 {
            return Step::To(on_false);
        }
        if let Some(is) = node.state.facts.decide(bytes, value) {
            return Step::To(if is { on_true } else { on_false });
        }
        let test = self.equals(bytes, value);
        if let Some(done) = self.take_if(node, test, on_true, on_false) {
            return done;
        }
        let (mut yes, mut no) = (node.state.clone(), node.state.clone());
        yes.facts.learn(bytes, value, true);
        no.facts.learn(bytes, value, false);
        let yes = self.edge_to(node, on_true, &yes);
        let no = self.edge_to(node, on_false, &no);
        self.b.ins().brif(test, yes, &[], no, &[]);
        Step::Done
    }

    /// `>= low` and then `> high`, with the same way out: one test in place of two, of which the
    /// first is a guess for ports.
    pub(super) fn is_between(
        &mut self,
        node: &Node,
        how: Comparison,
        k: u32,
        on_true: u32,
        on_false: u32,
    ) -> Option<Step> {
        let low = match how {
            Comparison::AtLeast => k,
            Comparison::Greater => k.checked_add(1)?,
            _ => return None,
        };
        let operations = &self.programs[node.program].operations;
        let behind_jumps = |mut at: u32| {
            while let Operation::Jump { to } = operations[at as usize] {
                at = to;
            }
            at
        };
        let Operation::Compare { how, operand: Operand::K(k), on_true: beyond, on_false: inside } =
            operations[behind_jumps(on_true) as usize]
        else {
            return None;
        };
        let high = match how {
            Comparison::Greater => k,
            Comparison::AtLeast => k.checked_sub(1)?,
            _ => return None,
        };
        let out = behind_jumps(on_false);
        if behind_jumps(beyond) != out || high < low {
            return None;
        }
        let a = self.number(node.state.a);
        let above = self.b.ins().iadd_imm(a, -i64::from(low));
        let width = self.b.ins().iconst(I32, i64::from(high - low));
        let test = self.b.ins().icmp(IntCC::UnsignedLessThanOrEqual, above, width);
        Some(self.branch(node, test, inside, out))
    }
}

fn holds(how: Comparison, a: u32, k: u32) -> bool {
    match how {
        Comparison::Equal => a == k,
        Comparison::Greater => a > k,
        Comparison::AtLeast => a >= k,
        Comparison::AnyBit => a & k != 0,
    }
}
