//! The collaborative scheduler: which thread executes or validates which transaction next.
//!
//! Source: Gelashvili et al., "Block-STM: Scaling Blockchain Execution by Turning Ordering Curse to a Performance Blessing" (2022),
//! algorithms 4 and 5, whose names are in brackets. Two deviations. A transaction may be told beforehand which lower one it has to
//! wait for (`waits_for`), so that a sender's second transaction is not executed only to be aborted. And the whole may be
//! stopped: by too many aborts, or by a worker that failed; what is executed by then is judged by the caller.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// What a thread is to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Task {
    Execute(usize),
    /// A transaction and which of its executions.
    Validate(usize, u32),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    Ready,
    Executing,
    Executed,
    Aborting,
}

pub struct Scheduler {
    size: usize,
    execution: AtomicUsize,
    validation: AtomicUsize,
    decreases: AtomicUsize,
    active: AtomicUsize,
    done: AtomicBool,
    stopped: AtomicBool,
    aborts: AtomicUsize,
    most_aborts: usize,
    status: Vec<Mutex<(u32, Phase)>>,
    waiting: Vec<Mutex<Vec<usize>>>,
    waits_for: Vec<Option<usize>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Scheduler {
    /// For as many transactions as `waits_for` has entries, each with the lower one that it waits for. More than `most_aborts`
    /// aborts stop the whole.
    pub fn new(waits_for: Vec<Option<usize>>, most_aborts: usize) -> Self {
        let size = waits_for.len();
        Self {
            size,
            execution: AtomicUsize::new(0),
            validation: AtomicUsize::new(0),
            decreases: AtomicUsize::new(0),
            active: AtomicUsize::new(0),
            done: AtomicBool::new(size == 0),
            stopped: AtomicBool::new(false),
            aborts: AtomicUsize::new(0),
            most_aborts,
            status: (0..size).map(|_| Mutex::new((0, Phase::Ready))).collect(),
            waiting: (0..size).map(|_| Mutex::default()).collect(),
            waits_for,
        }
    }

    pub fn is_done(&self) -> bool {
        self.done.load(SeqCst) || self.stopped.load(SeqCst)
    }

    pub fn stop(&self) {
        self.stopped.store(true, SeqCst);
    }

    pub fn is_stopped(&self) -> bool {
        self.stopped.load(SeqCst)
    }

    /// Counts an execution that was for nothing.
    pub fn wasted(&self) {
        if self.aborts.fetch_add(1, SeqCst) >= self.most_aborts {
            self.stop();
        }
    }

    pub fn next_task(&self) -> Option<Task> {
        if self.validation.load(SeqCst) < self.execution.load(SeqCst) {
            self.next_to_validate()
        } else {
            self.next_to_execute()
        }
    }

    /// [check_done]
    fn check_done(&self) {
        let observed = self.decreases.load(SeqCst);
        let lowest = self
            .execution
            .load(SeqCst)
            .min(self.validation.load(SeqCst));
        if lowest >= self.size
            && self.active.load(SeqCst) == 0
            && observed == self.decreases.load(SeqCst)
        {
            self.done.store(true, SeqCst);
        }
    }

    fn decrease(&self, index: &AtomicUsize, to: usize) {
        index.fetch_min(to, SeqCst);
        self.decreases.fetch_add(1, SeqCst);
    }

    fn next_to_execute(&self) -> Option<Task> {
        if self.execution.load(SeqCst) >= self.size {
            self.check_done();
            return None;
        }
        self.active.fetch_add(1, SeqCst);
        let task = self.incarnate(self.execution.fetch_add(1, SeqCst));
        if task.is_none() {
            self.active.fetch_sub(1, SeqCst);
        }
        task
    }

    fn next_to_validate(&self) -> Option<Task> {
        if self.validation.load(SeqCst) >= self.size {
            self.check_done();
            return None;
        }
        self.active.fetch_add(1, SeqCst);
        let tx = self.validation.fetch_add(1, SeqCst);
        if let Some(status) = self.status.get(tx)
            && let (incarnation, Phase::Executed) = *lock(status)
        {
            return Some(Task::Validate(tx, incarnation));
        }
        self.active.fetch_sub(1, SeqCst);
        None
    }

    /// [try_incarnate], without giving up the active task that the caller holds.
    fn incarnate(&self, tx: usize) -> Option<Task> {
        let mut status = lock(self.status.get(tx)?);
        (status.1 == Phase::Ready).then(|| {
            status.1 = Phase::Executing;
            Task::Execute(tx)
        })
    }

    /// Whether the transaction, which is about to be executed, has to wait for one that it is known to depend on. If so its task
    /// is over.
    pub fn must_wait(&self, tx: usize) -> bool {
        self.waits_for[tx].is_some_and(|lower| self.wait_for(tx, lower))
    }

    /// [add_dependency] Ends the execution of `tx`, which has read what `lower` is to write again. False: `lower` has just been
    /// executed, `tx` can be executed at once.
    pub fn wait_for(&self, tx: usize, lower: usize) -> bool {
        let mut waiting = lock(&self.waiting[lower]);
        if lock(&self.status[lower]).1 == Phase::Executed {
            return false;
        }
        lock(&self.status[tx]).1 = Phase::Aborting;
        waiting.push(tx);
        drop(waiting);
        self.active.fetch_sub(1, SeqCst);
        true
    }

    fn set_ready(&self, tx: usize) {
        let mut status = lock(&self.status[tx]);
        *status = (status.0 + 1, Phase::Ready);
    }

    /// [finish_execution] `reaches_new`: it wrote to places where its last execution did not.
    pub fn executed(&self, tx: usize, reaches_new: bool) -> Option<Task> {
        let incarnation = {
            let mut status = lock(&self.status[tx]);
            status.1 = Phase::Executed;
            status.0
        };
        let waiting = core::mem::take(&mut *lock(&self.waiting[tx]));
        if let Some(lowest) = waiting.iter().copied().min() {
            for tx in waiting {
                self.set_ready(tx);
            }
            self.decrease(&self.execution, lowest);
        }
        if self.validation.load(SeqCst) > tx {
            if !reaches_new {
                return Some(Task::Validate(tx, incarnation));
            }
            self.decrease(&self.validation, tx);
        }
        self.active.fetch_sub(1, SeqCst);
        None
    }

    /// [try_validation_abort] Whether it is this thread that takes the execution back.
    pub fn abort(&self, tx: usize, incarnation: u32) -> bool {
        let mut status = lock(&self.status[tx]);
        let mine = *status == (incarnation, Phase::Executed);
        if mine {
            status.1 = Phase::Aborting;
        }
        mine
    }

    /// [finish_validation]
    pub fn validated(&self, tx: usize, aborted: bool) -> Option<Task> {
        if aborted {
            self.set_ready(tx);
            self.decrease(&self.validation, tx + 1);
            if self.execution.load(SeqCst) > tx
                && let Some(task) = self.incarnate(tx)
            {
                return Some(task);
            }
        }
        self.active.fetch_sub(1, SeqCst);
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_thread_executes_and_validates_each_once_and_ends() {
        let scheduler = Scheduler::new(vec![None; 3], 0);
        let (mut executed, mut validated, mut task) = (Vec::new(), Vec::new(), None);
        while !scheduler.is_done() {
            task = match task {
                Some(Task::Execute(tx)) => {
                    executed.push(tx);
                    scheduler.executed(tx, false)
                }
                Some(Task::Validate(tx, _)) => {
                    validated.push(tx);
                    scheduler.validated(tx, false)
                }
                None => scheduler.next_task(),
            };
        }
        assert_eq!((executed, validated), (vec![0, 1, 2], vec![0, 1, 2]));
        assert!(!scheduler.is_stopped());
    }

    #[test]
    fn an_aborted_transaction_is_executed_again_and_those_above_it_are_validated_again() {
        let scheduler = Scheduler::new(vec![None; 3], 5);
        let mut log = Vec::new();
        let mut task = None;
        while !scheduler.is_done() {
            task = match task {
                Some(Task::Execute(tx)) => {
                    log.push(format!("x{tx}"));
                    scheduler.executed(tx, false)
                }
                Some(Task::Validate(tx, incarnation)) => {
                    log.push(format!("v{tx}"));
                    let fails = tx == 1 && incarnation == 0;
                    scheduler.validated(tx, fails && scheduler.abort(tx, incarnation))
                }
                None => scheduler.next_task(),
            };
        }
        let count = |what: &str| log.iter().filter(|entry| *entry == what).count();
        assert_eq!(
            (count("x1"), count("x0"), count("x2")),
            (2, 1, 1),
            "{log:?}"
        );
        assert_eq!(log.last().map(String::as_str), Some("v2"));
    }

    #[test]
    fn what_waits_is_executed_after_what_it_waits_for() {
        let scheduler = Scheduler::new(vec![None, Some(0)], 0);
        assert_eq!(scheduler.next_task(), Some(Task::Execute(0)));
        assert_eq!(scheduler.next_task(), None);
        let second = scheduler.next_task();
        assert_eq!(second, Some(Task::Execute(1)));
        assert!(scheduler.must_wait(1));
        scheduler.executed(0, true);
        assert!(!scheduler.must_wait(1));
        let mut order = Vec::new();
        let mut task = None;
        while !scheduler.is_done() {
            task = match task {
                Some(Task::Execute(tx)) => {
                    order.push(tx);
                    scheduler.executed(tx, true)
                }
                Some(Task::Validate(tx, _)) => scheduler.validated(tx, false),
                None => scheduler.next_task(),
            };
        }
        assert_eq!(order, [1]);
    }

    #[test]
    fn too_many_aborts_stop_it() {
        let scheduler = Scheduler::new(vec![None; 8], 2);
        scheduler.wasted();
        scheduler.wasted();
        assert!(!scheduler.is_done());
        scheduler.wasted();
        assert!(scheduler.is_done() && scheduler.is_stopped());
    }
}
