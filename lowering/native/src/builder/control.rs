//! Structured control flow: loops with carried values, conditionals.

use super::{Func, Type, Val, list, types};

/// An open region; give it back to the matching `end_*`.
#[derive(Clone, Debug)]
#[must_use = "an open region must be ended"]
pub struct Scope {
    results: Vec<Val>,
}

impl Func<'_> {
    /// Opens `for iv in (lo..hi).step_by(step)` with carried values starting at `init`. Returns the scope, the loop
    /// variable and the carried values inside.
    pub fn begin_for(&mut self, lo: Val, hi: Val, step: Val, init: &[Val]) -> (Scope, Val, Vec<Val>) {
        let tys: Vec<Type> = init.iter().map(|v| v.ty).collect();
        let (head, results) = self.fresh_many(&tys);
        let iv = self.fresh(lo.ty);
        let inner: Vec<Val> = tys.iter().map(|ty| self.fresh(*ty)).collect();
        let carried = if init.is_empty() {
            String::new()
        } else {
            let pairs: Vec<String> = inner.iter().zip(init).map(|(a, b)| format!("{a} = {b}")).collect();
            format!(" iter_args({}) -> ({})", pairs.join(", "), list(&tys))
        };
        // Loops over `index` leave their type out; others must say it.
        let ty = if lo.ty == Type::INDEX { String::new() } else { format!(" : {}", lo.ty) };
        self.stmt(&format!("{head}scf.for {iv} = {lo} to {hi} step {step}{carried}{ty} {{"));
        self.indent += 1;
        (Scope { results }, iv, inner)
    }

    /// Ends a loop body with the carried values of the next round; returns their final values.
    pub fn end_for(&mut self, scope: Scope, carried: &[Val]) -> Vec<Val> {
        self.end_region(carried);
        self.stmt("}");
        scope.results
    }

    /// `for iv in (lo..hi).step_by(step)` with carried values: the body gets them and returns their next values.
    pub fn for_loop(
        &mut self,
        lo: Val,
        hi: Val,
        step: Val,
        init: &[Val],
        body: impl FnOnce(&mut Self, Val, &[Val]) -> Vec<Val>,
    ) -> Vec<Val> {
        let (scope, iv, inner) = self.begin_for(lo, hi, step, init);
        let next = body(self, iv, &inner);
        self.end_for(scope, &next)
    }

    /// `for iv in lo..hi` in steps of a constant, nothing carried.
    pub fn for_each(&mut self, lo: Val, hi: Val, step: i64, body: impl FnOnce(&mut Self, Val)) {
        let step = self.index(step);
        self.for_loop(lo, hi, step, &[], |b, iv, _| {
            body(b, iv);
            Vec::new()
        });
    }

    /// Opens a conditional that yields values of these types.
    pub fn begin_if(&mut self, condition: Val, results: &[Type]) -> Scope {
        let (head, vals) = self.fresh_many(results);
        let tys = if results.is_empty() { String::new() } else { format!(" -> ({})", list(results)) };
        self.stmt(&format!("{head}scf.if {condition}{tys} {{"));
        self.indent += 1;
        Scope { results: vals }
    }

    /// Ends the first branch with its values and opens the other.
    pub fn begin_else(&mut self, values: &[Val]) {
        self.end_region(values);
        self.stmt("} else {");
        self.indent += 1;
    }

    /// Ends the last branch with its values; returns the conditional's results.
    pub fn end_if(&mut self, scope: Scope, values: &[Val]) -> Vec<Val> {
        self.end_region(values);
        self.stmt("}");
        scope.results
    }

    /// `if condition { then }`.
    pub fn if_then(&mut self, condition: Val, then: impl FnOnce(&mut Self)) {
        let scope = self.begin_if(condition, &[]);
        then(self);
        self.end_if(scope, &[]);
    }

    /// `if condition { then } else { otherwise }`, both returning values of the given types.
    pub fn if_else(
        &mut self,
        condition: Val,
        results: &[Type],
        then: impl FnOnce(&mut Self) -> Vec<Val>,
        otherwise: impl FnOnce(&mut Self) -> Vec<Val>,
    ) -> Vec<Val> {
        let scope = self.begin_if(condition, results);
        let a = then(self);
        self.begin_else(&a);
        let b = otherwise(self);
        self.end_if(scope, &b)
    }

    /// Opens a `while`: its first region computes the condition from the carried values.
    pub fn begin_while(&mut self, init: &[Val]) -> (Scope, Vec<Val>) {
        let tys: Vec<Type> = init.iter().map(|v| v.ty).collect();
        let (head, results) = self.fresh_many(&tys);
        let inner: Vec<Val> = tys.iter().map(|ty| self.fresh(*ty)).collect();
        let pairs: Vec<String> = inner.iter().zip(init).map(|(a, b)| format!("{a} = {b}")).collect();
        let carried = if init.is_empty() { String::new() } else { format!("({}) ", pairs.join(", ")) };
        self.stmt(&format!("{head}scf.while {carried}: ({}) -> ({}) {{", list(&tys), list(&tys)));
        self.indent += 1;
        (Scope { results }, inner)
    }

    /// Ends the condition region and opens the body, which gets `values` under new names.
    pub fn begin_do(&mut self, condition: Val, values: &[Val]) -> Vec<Val> {
        let tail = if values.is_empty() { String::new() } else { format!(" {} : {}", list(values), types(values)) };
        self.stmt(&format!("scf.condition({condition}){tail}"));
        self.indent -= 1;
        self.stmt("} do {");
        self.indent += 1;
        let inner: Vec<Val> = values.iter().map(|v| self.fresh(v.ty)).collect();
        if !inner.is_empty() {
            let args: Vec<String> = inner.iter().map(|v| format!("{v}: {}", v.ty)).collect();
            self.stmt(&format!("^bb0({}):", args.join(", ")));
        }
        inner
    }

    /// Ends the body with the next carried values; returns their values after the loop.
    pub fn end_while(&mut self, scope: Scope, carried: &[Val]) -> Vec<Val> {
        self.end_region(carried);
        self.stmt("}");
        scope.results
    }

    /// `while condition(values) { values = body(values) }`.
    pub fn while_loop(
        &mut self,
        init: &[Val],
        condition: impl FnOnce(&mut Self, &[Val]) -> Val,
        body: impl FnOnce(&mut Self, &[Val]) -> Vec<Val>,
    ) -> Vec<Val> {
        let (scope, inner) = self.begin_while(init);
        let go = condition(self, &inner);
        let inside = self.begin_do(go, &inner);
        let next = body(self, &inside);
        self.end_while(scope, &next)
    }

    /// Calls a function of this module (or a declared one).
    pub fn call(&mut self, name: &str, args: &[Val], results: &[Type]) -> Vec<Val> {
        let text = format!("func.call @{name}({}) : ({}) -> ({})", list(args), types(args), list(results));
        self.op_many(results, text)
    }

    /// The address of a function with these parameter types, as a pointer to hand to the runtime.
    pub fn function_pointer(&mut self, name: &str, params: &[Type], results: &[Type]) -> Val {
        let ty = format!("({}) -> ({})", list(params), list(results));
        let f = self.fresh(Type::Ptr);
        self.stmt(&format!("{f} = func.constant @{name} : {ty}"));
        self.op(Type::Ptr, format!("builtin.unrealized_conversion_cast {f} : {ty} to !llvm.ptr"))
    }

    fn end_region(&mut self, values: &[Val]) {
        if !values.is_empty() {
            self.stmt(&format!("scf.yield {} : {}", list(values), types(values)));
        }
        self.indent = self.indent.saturating_sub(1);
    }
}
