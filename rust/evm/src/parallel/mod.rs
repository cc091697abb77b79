//! A block's transactions on all cores, with the outcome that they have one after the other.
//!
//! Optimistic concurrency in Block-STM's scheme (Gelashvili et al., 2022): `memory` holds every version of what the transactions
//! write, `scheduler` hands out executions and validations, `view` is the state as one transaction sees it, `run` executes it,
//! `pace` decides when to stay in order. Three deviations, none of which shows in the outcome:
//!
//! - A block is executed in waves. A wave's executions are then taken up in order, each only if the state gives what it has read, and
//!   executed again there if not. So no mistake of the scheduler, no stop of a wave, no failure or panic of a thread can change
//!   what comes of a block; and the block's gas, on which each transaction's place depends, is counted in order. A wave asks for no
//!   more gas than the block has left.
//! - Reads are validated by value, not by version.
//! - The beneficiary's fees are added up when somebody asks, and when the wave is taken up: see `view`.

use rayon::{Scope, ThreadPool, ThreadPoolBuilder};
use revm::DatabaseCommit;
use revm::context::ContextTr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use crate::error::Error;
use crate::executor::{
    BlockContext, BlockEvm, BlockOutcome, Offered, Runner, fitting, run_fitting,
};
use crate::index;
use crate::journal::{Journaled, Stretch, is_current};
use crate::state::{Fork, Overlay, StateReader};

mod gather;
mod memory;
mod pace;
mod run;
mod scheduler;
mod view;

use gather::gather;
use memory::{Memory, Writes};
use pace::{FEWEST, Next, Pace, WAVE, dependencies, work as work_of};
use run::{Fee, ViewEvm};
use scheduler::{Scheduler, Task};
use view::{Cold, Halt, Reads, Shared, View, with_fee};

type Wave = Vec<(usize, Offered)>;

/// The threads that execute blocks.
pub struct Workers {
    threads: usize,
    /// None: the process's own.
    pool: Option<ThreadPool>,
    /// None: every wave in parallel, whether it pays or not.
    pace: Option<Mutex<Pace>>,
    taken: AtomicU64,
    redone: AtomicU64,
}

impl Default for Workers {
    /// One thread a core, those that hash and recover senders too.
    fn default() -> Self {
        Self {
            threads: rayon::current_num_threads(),
            pool: None,
            pace: Some(Mutex::default()),
            taken: AtomicU64::new(0),
            redone: AtomicU64::new(0),
        }
    }
}

impl Workers {
    /// So many threads; 0 for one a core, 1 for execution in order.
    pub fn new(threads: usize) -> Result<Self, Error> {
        if threads == 0 {
            return Ok(Self::default());
        }
        // The calling thread is one of them.
        let pool = ThreadPoolBuilder::new().num_threads((threads - 1).max(1));
        let pool = pool
            .build()
            .map_err(|error| Error::Invalid(format!("{threads} threads: {error}")))?;
        Ok(Self {
            threads,
            pool: Some(pool),
            ..Self::default()
        })
    }

    /// Never judges whether it pays: for tests.
    pub fn always(mut self) -> Self {
        self.pace = None;
        self
    }

    /// Transactions that were executed in waves, and how many of them were, when their wave was taken up, executed again.
    pub fn counts(&self) -> (u64, u64) {
        (self.taken.load(Relaxed), self.redone.load(Relaxed))
    }

    fn scope<'scope, T>(&self, run: impl FnOnce(&Scope<'scope>) -> T) -> T {
        match &self.pool {
            Some(pool) => pool.in_place_scope(run),
            None => rayon::in_place_scope(run),
        }
    }

    fn next(&self) -> Next {
        self.pace.as_ref().map_or(Next::Wave(WAVE), |pace| {
            pace.lock().unwrap_or_else(PoisonError::into_inner).next()
        })
    }

    fn learn(&self, change: impl FnOnce(&mut Pace)) {
        if let Some(pace) = &self.pace {
            change(&mut pace.lock().unwrap_or_else(PoisonError::into_inner));
        }
    }

    /// Whom the transactions wait for; None if they are better executed in order.
    fn plan(&self, wave: &Wave) -> Option<Vec<Option<usize>>> {
        match self.pace {
            None => Some(dependencies(wave).unwrap_or_else(|| vec![None; wave.len()])),
            Some(_) if wave.len() < FEWEST => None,
            Some(_) => dependencies(wave),
        }
    }
}

impl<R: Fork> Runner<R> for Workers {
    fn run(
        &self,
        block: &BlockContext,
        evm: &mut BlockEvm<'_, R>,
        txs: impl Iterator<Item = Offered>,
        outcome: &mut BlockOutcome,
    ) -> Result<(), R::Error> {
        if self.threads < 2 || !is_current(block, evm.ctx.db_ref()) {
            return Journaled.run(block, evm, txs, outcome);
        }
        let mut txs = txs.enumerate().peekable();
        let mut stretch = Stretch::default();
        loop {
            let next = self.next();
            let start = Instant::now();
            let before = outcome.outcomes.len();
            let mut in_order = |evm: &mut BlockEvm<'_, R>,
                                txs: &mut dyn Iterator<Item = (usize, Offered)>,
                                outcome: &mut BlockOutcome| {
                let mut count = 0;
                for (position, tx) in txs {
                    stretch.run(block, evm, position, tx, outcome)?;
                    count += 1;
                }
                let (work, took) = (work_of(&outcome.outcomes[before..]), start.elapsed());
                self.learn(|pace| pace.was_in_order(count, work, took));
                Ok(count)
            };
            match next {
                Next::InOrder(count) => {
                    if in_order(evm, &mut txs.by_ref().take(count), outcome)? == 0 {
                        stretch.end(evm);
                        return Ok(());
                    }
                }
                Next::Wave(count) => {
                    let left = block.gas_limit - outcome.gas_used;
                    let asked =
                        |(_, tx): &(usize, Offered)| tx.as_ref().map_or(0, |tx| tx.gas_limit());
                    let wave: Wave = gather(&mut txs, count, left, asked);
                    let count = wave.len();
                    if count == 0 {
                        stretch.end(evm);
                        return Ok(());
                    }
                    match self.plan(&wave) {
                        Some(waits_for) => {
                            stretch.end(evm);
                            let stopped = self.wave(block, evm, wave, waits_for, outcome)?;
                            let (work, took) =
                                (work_of(&outcome.outcomes[before..]), start.elapsed());
                            self.learn(|pace| pace.was_wave(count, work, took, stopped));
                        }
                        None => {
                            in_order(evm, &mut wave.into_iter(), outcome)?;
                        }
                    }
                }
            }
        }
    }
}

impl Workers {
    /// Executes a wave. True if it was stopped before its end.
    fn wave<R: Fork>(
        &self,
        block: &BlockContext,
        evm: &mut BlockEvm<'_, R>,
        wave: Wave,
        waits_for: Vec<Option<usize>>,
        outcome: &mut BlockOutcome,
    ) -> Result<bool, R::Error> {
        let beneficiary = block.beneficiary;
        evm.ctx.db_mut().account(beneficiary)?;
        let most_aborts = match self.pace {
            Some(_) => wave.len() / 4 + 8,
            None => usize::MAX,
        };
        let scheduler = Scheduler::new(waits_for, most_aborts);
        let colds: Mutex<Vec<Cold>> = Mutex::default();
        let state: &Overlay<R> = evm.ctx.db_ref();
        let shared = Shared {
            memory: Memory::default(),
            runs: wave.iter().map(|_| Mutex::default()).collect(),
            base: state.base(),
            beneficiary,
            left: block.gas_limit - outcome.gas_used,
            codes: Mutex::default(),
        };
        let threads = self.threads.min(wave.len());
        // Where the store lends no more readers, fewer threads do it.
        let mut readers = (0..threads).filter_map(|_| state.reader.fork().ok());
        let work = |reader: R::Fork| {
            let work = || work(block, &wave, &shared, &scheduler, reader);
            match catch_unwind(AssertUnwindSafe(work)) {
                Ok(cold) => colds
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .push(cold),
                Err(_) => scheduler.stop(),
            }
        };
        if let Some(mine) = readers.next() {
            let work = &work;
            let others: Vec<_> = readers.collect();
            self.scope(|scope| {
                for reader in others {
                    scope.spawn(move |_| work(reader));
                }
                work(mine);
            });
        }
        let runs = shared.runs;
        let (count, mut redone) = (wave.len() as u64, 0);
        let db = evm.ctx.db_mut();
        for cold in colds.into_inner().unwrap_or_else(PoisonError::into_inner) {
            db.absorb(cold.accounts, cold.slots, cold.codes);
        }
        for ((position, tx), cell) in wave.into_iter().zip(runs) {
            let cell = cell.into_inner().unwrap_or_else(PoisonError::into_inner);
            let Some(tx) = fitting(block, position, tx, outcome) else {
                continue;
            };
            let db = evm.ctx.db_mut();
            match cell.run {
                Some(run) if run.reads.are_in(db, beneficiary)? => match run.result {
                    Ok(result) => {
                        let touched = index::touched(&run.state, &beneficiary);
                        db.commit(run.state);
                        if let Fee::Owed(wei) = run.fee {
                            db.pay(beneficiary, |account| with_fee(account, wei))?;
                        }
                        outcome.include(position, tx, result, touched);
                    }
                    Err(reason) => outcome.skipped.push((position, reason)),
                },
                _ => {
                    redone += 1;
                    run_fitting(block, evm, position, tx, outcome)?;
                }
            }
        }
        self.taken.fetch_add(count, Relaxed);
        self.redone.fetch_add(redone, Relaxed);
        Ok(scheduler.is_stopped())
    }
}

/// What each thread does until the wave is done.
fn work<R: StateReader>(
    block: &BlockContext,
    wave: &Wave,
    shared: &Shared<'_>,
    scheduler: &Scheduler,
    reader: R,
) -> Cold {
    let view = View {
        shared,
        reader,
        cold: Cold::default(),
        tx: 0,
        reads: Reads::default(),
    };
    let mut evm = block.evm(view, |_| {});
    let mut task = None;
    let mut idle = 0;
    while !scheduler.is_done() {
        task = match task.or_else(|| scheduler.next_task()) {
            Some(Task::Execute(tx)) => {
                idle = 0;
                execute(wave, shared, scheduler, &mut evm, tx)
            }
            Some(Task::Validate(tx, incarnation)) => {
                idle = 0;
                validate(shared, scheduler, tx, incarnation)
            }
            None => {
                idle += 1;
                if idle < 32 {
                    core::hint::spin_loop();
                } else {
                    std::thread::yield_now();
                }
                None
            }
        };
    }
    core::mem::take(&mut evm.ctx.db_mut().cold)
}

fn execute<'a, R: StateReader + 'a>(
    wave: &Wave,
    shared: &Shared<'_>,
    scheduler: &Scheduler,
    evm: &mut ViewEvm<'a, R>,
    tx: usize,
) -> Option<Task> {
    if scheduler.must_wait(tx) {
        return None;
    }
    let lock = || {
        shared.runs[tx]
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    };
    let signed = match &wave[tx].1 {
        Ok(signed) if signed.gas_limit() <= shared.left => signed,
        _ => {
            lock().fee = Fee::None;
            return scheduler.executed(tx, false);
        }
    };
    loop {
        evm.ctx.db_mut().tx = tx;
        match run::execute(evm, signed) {
            Ok(run) => {
                let writes: Writes = run.writes();
                for account in run.state.values() {
                    if let Some(code) = &account.info.code
                        && account.is_changed()
                        && !code.is_empty()
                    {
                        shared
                            .codes
                            .lock()
                            .unwrap_or_else(PoisonError::into_inner)
                            .insert(account.info.code_hash, code.clone());
                    }
                }
                let mut cell = lock();
                let reaches_new = shared.memory.record(tx, &writes, &mut cell.places);
                cell.fee = run.fee;
                cell.run = Some(run);
                drop(cell);
                return scheduler.executed(tx, reaches_new);
            }
            Err(Halt::Waits(lower)) => {
                scheduler.wasted();
                if scheduler.is_stopped() || scheduler.wait_for(tx, lower) {
                    return None;
                }
            }
            Err(Halt::Failed) => {
                scheduler.stop();
                return None;
            }
        }
    }
}

fn validate(
    shared: &Shared<'_>,
    scheduler: &Scheduler,
    tx: usize,
    incarnation: u32,
) -> Option<Task> {
    let mut cell = shared.runs[tx]
        .lock()
        .unwrap_or_else(PoisonError::into_inner);
    let holds = cell
        .run
        .as_ref()
        .is_none_or(|run| shared.hold(tx, &run.reads));
    let aborted = !holds && scheduler.abort(tx, incarnation);
    if aborted {
        shared.memory.abort(tx, &cell.places);
        cell.fee = Fee::Unknown;
        scheduler.wasted();
    }
    drop(cell);
    scheduler.validated(tx, aborted)
}
