//! Arithmetic, and jumps back.

use super::*;

impl<'a, 'b> Translator<'a, 'b> {
    pub(super) fn compute(&mut self, state: &mut State, what: Arithmetic, operand: Operand) {
        let constant = match operand {
            Operand::K(k) => Some(k),
            Operand::X => state.x,
        };
        if let (Known::Constant(a), Some(k)) = (state.a, constant) {
            state.a = Known::Constant(folded(what, a, k));
            return;
        }
        if let (Known::Bytes(bytes), Arithmetic::And, Some(k)) = (state.a, what, constant) {
            let fewer = Bytes { mask: bytes.mask & k, ..bytes };
            state.a = if fewer.mask == 0 { Known::Constant(0) } else { Known::Bytes(fewer) };
            return;
        }
        let a = self.number(state.a);
        let by = self.operand(operand, state.x);
        let value = match what {
            Arithmetic::Add => self.b.ins().iadd(a, by),
            Arithmetic::Subtract => self.b.ins().isub(a, by),
            Arithmetic::Multiply => self.b.ins().imul(a, by),
            Arithmetic::Or => self.b.ins().bor(a, by),
            Arithmetic::And => self.b.ins().band(a, by),
            Arithmetic::Xor => self.b.ins().bxor(a, by),
            Arithmetic::ShiftLeft | Arithmetic::ShiftRight => self.shift(what, a, by),
        };
        self.set_a(state, value);
    }

    /// Shifts by 32 and more give 0.
    pub(super) fn shift(&mut self, what: Arithmetic, a: Value, by: Value) -> Value {
        let shifted = match what {
            Arithmetic::ShiftLeft => self.b.ins().ishl(a, by),
            _ => self.b.ins().ushr(a, by),
        };
        let inside = self.b.ins().icmp_imm(IntCC::UnsignedLessThan, by, 32);
        let zero = self.b.ins().iconst(I32, 0);
        self.b.ins().select(inside, shifted, zero)
    }

    pub(super) fn divide(
        &mut self,
        node: &mut Node,
        operand: Operand,
        remainder: bool,
        by_zero: u32,
    ) -> Step {
        let constant = match operand {
            Operand::K(k) => Some(k),
            Operand::X => node.state.x,
        };
        if constant == Some(0) {
            return Step::To(by_zero);
        }
        if let (Known::Constant(a), Some(k)) = (node.state.a, constant) {
            node.state.a = Known::Constant(if remainder { a % k } else { a / k });
            return Step::Next;
        }
        let by = self.operand(operand, node.state.x);
        if constant.is_none() {
            let otherwise = self.edge_to(node, by_zero, &node.state.clone());
            self.unless(by, otherwise);
        }
        let a = self.number(node.state.a);
        let value = if remainder { self.b.ins().urem(a, by) } else { self.b.ins().udiv(a, by) };
        self.set_a(&mut node.state, value);
        Step::Next
    }

    pub(super) fn jump_back(&mut self, node: &Node, to: u32) -> Step {
        let turns = self.b.use_var(self.turns);
        let turns = self.b.ins().iadd_imm(turns, 1);
        self.b.def_var(self.turns, turns);
        let goes_on = self.b.ins().icmp_imm(IntCC::UnsignedLessThanOrEqual, turns, MOST_TURNS);
        let state = node.state.clone();
        let reject = self.edge_to(node, REJECT, &state);
        self.unless(goes_on, reject);
        self.go_to(node, to, &state);
        Step::Done
    }
}

fn folded(what: Arithmetic, a: u32, k: u32) -> u32 {
    match what {
        Arithmetic::Add => a.wrapping_add(k),
        Arithmetic::Subtract => a.wrapping_sub(k),
        Arithmetic::Multiply => a.wrapping_mul(k),
        Arithmetic::Or => a | k,
        Arithmetic::And => a & k,
        Arithmetic::Xor => a ^ k,
        Arithmetic::ShiftLeft => a.checked_shl(k).unwrap_or(0),
        Arithmetic::ShiftRight => a.checked_shr(k).unwrap_or(0),
    }
}
