//! Which node of every class the program is made of: greedy over directed acyclic graphs.
//!
//! Every class knows the set of classes that it needs, so that what is shared counts once: the cost of a tree would
//! grow exponentially through residual connections. Bottom up, each class takes the node whose set costs least; then,
//! with the uses of the whole program known, single choices are changed as long as the total falls. All orders are
//! fixed, so the result is the same every time.

use super::cost::cost;
use super::engine::Engine;
use egg::{Id, Language};
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

/// Rounds of the bottom-up choice.
const ROUNDS: usize = 8;
/// Rounds of single changes.
const SWEEPS: usize = 3;
/// Words of sets above which the bottom-up choice is left out (half a gigabyte).
const MOST_WORDS: usize = 1 << 26;

/// A node that may be chosen.
struct Candidate {
    /// Its record.
    record: usize,
    /// Positions of its operands' classes.
    children: Vec<usize>,
    cost: u64,
}

/// The chosen nodes.
pub struct Choice {
    classes: HashMap<Id, usize>,
    candidates: Vec<Vec<Candidate>>,
    chosen: Vec<Option<usize>>,
}

impl Choice {
    /// The record of the chosen node of a class, if it has one that lowering understands.
    pub fn record(&self, class: Id) -> Option<usize> {
        let at = *self.classes.get(&class)?;
        Some(self.current(at)?.record)
    }

    fn current(&self, class: usize) -> Option<&Candidate> {
        self.candidates.get(class)?.get((*self.chosen.get(class)?)?)
    }

    fn cost_of(&self, class: usize) -> u64 {
        self.current(class).map_or(0, |c| c.cost)
    }
}

/// Chooses for everything that can be chosen; `roots` are what the program needs.
pub fn choose(engine: &Engine<'_>, roots: &[Id]) -> Choice {
    let (mut choice, order) = initial(engine);
    let rank = {
        let mut rank = vec![usize::MAX; choice.candidates.len()];
        for (r, class) in order.iter().enumerate() {
            rank[*class] = r;
        }
        rank
    };
    let roots: Vec<usize> = roots.iter().filter_map(|r| choice.classes.get(&engine.egraph.find(*r)).copied()).collect();
    let first = choice.chosen.clone();
    greedy(&mut choice, &order);
    if !is_acyclic(&choice, &roots) {
        choice.chosen = first;
        by_rank(&mut choice, &rank);
    }
    let before = choice.chosen.clone();
    improve(&mut choice, &roots);
    if !is_acyclic(&choice, &roots) {
        choice.chosen = before;
    }
    choice
}

/// The candidates, and for every class the first that needs only classes that have one, in the order found.
fn initial(engine: &Engine<'_>) -> (Choice, Vec<usize>) {
    let egraph = &engine.egraph;
    let mut classes: HashMap<Id, usize> = HashMap::new();
    let mut ids: Vec<Id> = Vec::new();
    for i in 0..egraph.nodes().len() {
        if usize::from(egraph.find(Id::from(i))) == i {
            classes.insert(Id::from(i), ids.len());
            ids.push(Id::from(i));
        }
    }
    let mut candidates: Vec<Vec<Candidate>> = ids.iter().map(|_| Vec::new()).collect();
    let mut seen = std::collections::HashSet::new();
    // Candidates that use each class.
    let mut users: Vec<Vec<(usize, usize)>> = ids.iter().map(|_| Vec::new()).collect();
    let mut missing: Vec<Vec<usize>> = ids.iter().map(|_| Vec::new()).collect();
    let mut ready: BinaryHeap<Reverse<(usize, usize, usize)>> = BinaryHeap::new();
    for (i, node) in egraph.nodes().iter().enumerate() {
        let class = egraph.find(Id::from(i));
        let node = node.clone().map_children(|c| egraph.find(c));
        if node.children.contains(&class) || seen.contains(&node) {
            continue;
        }
        let (Some(cost), Some(at)) = (cost(egraph, &node, class), classes.get(&class).copied()) else { continue };
        let mut children: Vec<usize> = node.children.iter().filter_map(|c| classes.get(c).copied()).collect();
        children.sort_unstable();
        children.dedup();
        let number = candidates[at].len();
        for c in &children {
            users[*c].push((at, number));
        }
        missing[at].push(children.len());
        if children.is_empty() {
            ready.push(Reverse((i, at, number)));
        }
        candidates[at].push(Candidate { record: i, children, cost });
        seen.insert(node);
    }
    let mut chosen: Vec<Option<usize>> = vec![None; ids.len()];
    let mut order = Vec::with_capacity(ids.len());
    while let Some(Reverse((_, class, number))) = ready.pop() {
        if chosen[class].is_some() {
            continue;
        }
        chosen[class] = Some(number);
        order.push(class);
        for &(user, number) in &users[class] {
            missing[user][number] -= 1;
            if missing[user][number] == 0 && chosen[user].is_none() {
                ready.push(Reverse((candidates[user][number].record, user, number)));
            }
        }
    }
    (Choice { classes, candidates, chosen }, order)
}

/// Sets of classes as bits.
type Set = Vec<u64>;

/// What the members of `a` that are not in `b` cost.
fn difference(choice: &Choice, a: &Set, b: &Set) -> u128 {
    let mut total = 0u128;
    for (word, (x, y)) in a.iter().zip(b).enumerate() {
        let mut bits = x & !y;
        while bits != 0 {
            total += u128::from(choice.cost_of(word * 64 + bits.trailing_zeros() as usize));
            bits &= bits - 1;
        }
    }
    total
}

/// Bottom up: the node whose set of classes costs least.
fn greedy(choice: &mut Choice, order: &[usize]) {
    let words = choice.candidates.len().div_ceil(64);
    if words.saturating_mul(choice.candidates.len()) > MOST_WORDS {
        return;
    }
    let mut sets: Vec<Set> = vec![Vec::new(); choice.candidates.len()];
    for _ in 0..ROUNDS {
        let mut changed = false;
        for &class in order {
            let mut best: Option<(usize, Set)> = None;
            for (number, candidate) in choice.candidates[class].iter().enumerate() {
                let available = candidate.children.iter().all(|c| !sets[*c].is_empty());
                let cyclic = candidate.children.iter().any(|c| has(&sets[*c], class));
                if !available || cyclic {
                    continue;
                }
                let mut set: Set = vec![0; words];
                for c in &candidate.children {
                    for (to, from) in set.iter_mut().zip(&sets[*c]) {
                        *to |= from;
                    }
                }
                let better = match &best {
                    None => true,
                    Some((other, rival)) => {
                        let mine = difference(choice, &set, rival) + u128::from(candidate.cost);
                        let theirs =
                            difference(choice, rival, &set) + u128::from(choice.candidates[class][*other].cost);
                        mine < theirs
                    }
                };
                if better {
                    best = Some((number, set));
                }
            }
            if let Some((number, mut set)) = best {
                set[class / 64] |= 1 << (class % 64);
                if choice.chosen[class] != Some(number) || sets[class] != set {
                    choice.chosen[class] = Some(number);
                    sets[class] = set;
                    changed = true;
                }
            }
        }
        if !changed {
            break;
        }
    }
}

fn has(set: &Set, class: usize) -> bool {
    set.get(class / 64).is_some_and(|w| w >> (class % 64) & 1 == 1)
}

/// The cheapest node by itself among those that need only classes of lower rank.
fn by_rank(choice: &mut Choice, rank: &[usize]) {
    for class in 0..choice.candidates.len() {
        let fits = |c: &&Candidate| c.children.iter().all(|child| rank[*child] < rank[class]);
        let numbered = choice.candidates[class].iter().enumerate().filter(|(_, c)| fits(c));
        if let Some((number, _)) = numbered.min_by_key(|(_, c)| c.cost) {
            choice.chosen[class] = Some(number);
        }
    }
}

fn is_acyclic(choice: &Choice, roots: &[usize]) -> bool {
    // 0 not seen, 1 open, 2 done.
    let mut state = vec![0u8; choice.candidates.len()];
    for &root in roots {
        let mut stack = vec![(root, false)];
        while let Some((class, done)) = stack.pop() {
            if done {
                state[class] = 2;
                continue;
            }
            match state[class] {
                2 => continue,
                1 => return false,
                _ => {}
            }
            state[class] = 1;
            stack.push((class, true));
            for &child in choice.current(class).map_or(&[][..], |c| &c.children) {
                match state[child] {
                    0 => stack.push((child, false)),
                    1 => return false,
                    _ => {}
                }
            }
        }
    }
    true
}

/// Changes single choices as long as the whole program becomes cheaper.
fn improve(choice: &mut Choice, roots: &[usize]) {
    let mut uses = vec![0u32; choice.candidates.len()];
    for &root in roots {
        acquire(choice, &mut uses, root);
    }
    for _ in 0..SWEEPS {
        let mut changed = false;
        for class in (0..choice.candidates.len()).rev() {
            let (Some(current), true) = (choice.chosen[class], uses[class] > 0) else { continue };
            for number in 0..choice.candidates[class].len() {
                let children = &choice.candidates[class][number].children;
                if Some(number) == choice.chosen[class] || children.iter().any(|c| choice.chosen[*c].is_none()) {
                    continue;
                }
                let kept = choice.chosen[class].unwrap_or(current);
                let gained = swap(choice, &mut uses, class, number);
                if gained <= 0 || reaches(choice, class) {
                    swap(choice, &mut uses, class, kept);
                } else {
                    changed = true;
                }
            }
        }
        if !changed {
            break;
        }
    }
}

/// Takes another candidate; what the program gains by it.
fn swap(choice: &mut Choice, uses: &mut [u32], class: usize, number: usize) -> i128 {
    let old: Vec<usize> = choice.current(class).map_or(Vec::new(), |c| c.children.clone());
    let before = i128::from(choice.cost_of(class));
    choice.chosen[class] = Some(number);
    let mut gained = before - i128::from(choice.cost_of(class));
    for child in choice.candidates[class][number].children.clone() {
        gained -= acquire(choice, uses, child) as i128;
    }
    for child in old {
        gained += release(choice, uses, child) as i128;
    }
    gained
}

/// One more use of a class; the cost of what had none before.
fn acquire(choice: &Choice, uses: &mut [u32], class: usize) -> u128 {
    let mut total = 0;
    let mut stack = vec![class];
    while let Some(class) = stack.pop() {
        uses[class] += 1;
        if uses[class] == 1 {
            total += u128::from(choice.cost_of(class));
            stack.extend(choice.current(class).map_or(&[][..], |c| &c.children));
        }
    }
    total
}

/// One use of a class less; the cost of what has none left.
fn release(choice: &Choice, uses: &mut [u32], class: usize) -> u128 {
    let mut total = 0;
    let mut stack = vec![class];
    while let Some(class) = stack.pop() {
        uses[class] = uses[class].saturating_sub(1);
        if uses[class] == 0 {
            total += u128::from(choice.cost_of(class));
            stack.extend(choice.current(class).map_or(&[][..], |c| &c.children));
        }
    }
    total
}

/// Whether following choices leads from a class back to it.
fn reaches(choice: &Choice, class: usize) -> bool {
    let mut seen = vec![false; choice.candidates.len()];
    let mut stack: Vec<usize> = choice.current(class).map_or(Vec::new(), |c| c.children.clone());
    while let Some(at) = stack.pop() {
        if at == class {
            return true;
        }
        if !std::mem::replace(&mut seen[at], true) {
            stack.extend(choice.current(at).map_or(&[][..], |c| &c.children));
        }
    }
    false
}
