//! What each operation of a program becomes.

use super::*;

impl<'a, 'b> Translator<'a, 'b> {
    pub(super) fn step(&mut self, node: &mut Node) -> Step {
        let operation = self.programs[node.program].operations[node.at as usize];
        match operation {
            Operation::Load { size, offset, indexed, bare, missing } => {
                return self.load(node, size, offset, indexed, bare, missing);
            }
            Operation::LoadHeader { offset, bare, missing } => {
                return self.load_header(node, offset, bare, missing);
            }
            Operation::LoadWire { into: Register::A, .. } if node.way != Way::Apart => {
                node.state.a = Known::Wire;
            }
            Operation::LoadWire { into, bare } => {
                let wire = self.wire(node.way, bare);
                self.set(into, &mut node.state, wire);
            }
            Operation::LoadCaptured { bare } => {
                let mut captured = self.view().captured;
                if node.way == Way::Apart && bare {
                    let tags = self.tags_for(true);
                    let tags = self.field(I32, tags, offset_of!(frame::Tags, captured));
                    captured = self.b.ins().isub(captured, tags);
                }
                self.set_a(&mut node.state, captured);
            }
            Operation::LoadConstant { into: Register::A, value } => {
                node.state.a = Known::Constant(value)
            }
            Operation::LoadConstant { into: Register::X, value } => node.state.x = Some(value),
            Operation::LoadMemory { into, word } => {
                let value = self.b.use_var(self.memory[word].expect("declared at the start"));
                self.set(into, &mut node.state, value);
            }
            Operation::Store { from, word } => {
                let value = match from {
                    Register::A => self.number(node.state.a),
                    Register::X => self.index(node.state.x),
                };
                self.b.def_var(self.memory[word].expect("declared at the start"), value);
            }
            Operation::Compute { what, operand } => self.compute(&mut node.state, what, operand),
            Operation::Divide { operand, remainder, by_zero } => {
                return self.divide(node, operand, remainder, by_zero);
            }
            Operation::Negate => match node.state.a {
                Known::Constant(a) => node.state.a = Known::Constant(a.wrapping_neg()),
                a => {
                    let a = self.number(a);
                    let negative = self.b.ins().ineg(a);
                    self.set_a(&mut node.state, negative);
                }
            },
            Operation::CopyToX => match node.state.a {
                Known::Constant(a) => node.state.x = Some(a),
                a => {
                    let a = self.number(a);
                    self.set_x(&mut node.state, a);
                }
            },
            Operation::CopyToA => match node.state.x {
                Some(x) => node.state.a = Known::Constant(x),
                None => {
                    let x = self.index(None);
                    self.set_a(&mut node.state, x);
                }
            },
            Operation::Jump { to } => return Step::To(to),
            Operation::JumpBack { to } => return self.jump_back(node, to),
            Operation::Compare { how, operand, on_true, on_false } => {
                return self.compare(node, how, operand, on_true, on_false);
            }
            Operation::InSet { set, on_true, on_false } => {
                return self.in_set(node, set, on_true, on_false);
            }
            Operation::InWide { set, bare, on_true, on_false } => {
                let found = self.in_wide(node, set, bare);
                return self.branch(node, found, on_true, on_false);
            }
            Operation::Contains { pattern, on_true, on_false } => {
                let found = self.contains(node, pattern);
                return self.branch(node, found, on_true, on_false);
            }
            Operation::Return { value } => {
                self.finish_with(node, Known::Constant(value));
                return Step::Done;
            }
            Operation::ReturnA => {
                let a = node.state.a;
                self.finish_with(node, a);
                return Step::Done;
            }
        }
        Step::Next
    }

    pub(super) fn branch(
        &mut self,
        node: &Node,
        holds: Value,
        on_true: u32,
        on_false: u32,
    ) -> Step {
        if let Some(done) = self.take_if(node, holds, on_true, on_false) {
            return done;
        }
        let state = node.state.clone();
        let yes = self.edge_to(node, on_true, &state);
        let no = self.edge_to(node, on_false, &state);
        self.b.ins().brif(holds, yes, &[], no, &[]);
        Step::Done
    }
}
