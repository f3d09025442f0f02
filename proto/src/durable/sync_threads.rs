//! Threads that wait for syncs, kept for the next one: starting a thread takes as long as a sync on a fast disk.

use std::{
    collections::VecDeque,
    fs::File,
    io,
    sync::{
        Condvar, Mutex, MutexGuard, PoisonError,
        mpsc::{self, Sender},
    },
    time::Duration,
};

/// Stack of a thread that only waits for syncs, bytes.
const STACK: usize = 64 * 1024;
/// Most threads of a process; a run's folder has fewer files that are synced together.
const MOST: usize = 8;
/// How long a thread waits for its next sync before it ends.
const IDLE: Duration = Duration::from_secs(10);

/// A sync that somebody waits for.
struct Job {
    file: File,
    done: Sender<io::Result<()>>,
}

#[derive(Default)]
struct Queue {
    jobs: VecDeque<Job>,
    threads: usize,
    idle: usize,
}

static QUEUE: Mutex<Queue> = Mutex::new(Queue { jobs: VecDeque::new(), threads: 0, idle: 0 });
static WAKE: Condvar = Condvar::new();

impl Job {
    fn execute(self) {
        // Whoever waited may have gone.
        let _ = self.done.send(self.file.sync_all());
    }
}

/// Syncs all files, at the same time; the first failure.
pub(super) fn sync_all(mut files: Vec<File>) -> io::Result<()> {
    let Some(own) = files.pop() else { return Ok(()) };
    let (done, results) = mpsc::channel();
    let others = files.len();
    hand_over(files.into_iter().map(|file| Job { file, done: done.clone() }));
    let mut synced = own.sync_all();
    // Where the threads are busy with others' files, or none could be started, this thread does its share.
    while let Some(job) = next() {
        job.execute();
    }
    for _ in 0..others {
        let result = results.recv().unwrap_or_else(|_| Err(io::Error::other("a sync was not done")));
        synced = synced.and(result);
    }
    synced
}

fn queue() -> MutexGuard<'static, Queue> {
    QUEUE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn next() -> Option<Job> {
    queue().jobs.pop_front()
}

fn hand_over(jobs: impl Iterator<Item = Job>) {
    let mut queue = queue();
    queue.jobs.extend(jobs);
    let wanted = queue.jobs.len().saturating_sub(queue.idle).min(MOST - queue.threads);
    for _ in 0..wanted {
        if std::thread::Builder::new().name("sync".to_owned()).stack_size(STACK).spawn(work).is_err() {
            break;
        }
        queue.threads += 1;
    }
    drop(queue);
    WAKE.notify_all();
}

fn work() {
    let mut queue = queue();
    loop {
        if let Some(job) = queue.jobs.pop_front() {
            drop(queue);
            job.execute();
            queue = self::queue();
            continue;
        }
        queue.idle += 1;
        let (again, waited) = WAKE.wait_timeout(queue, IDLE).unwrap_or_else(PoisonError::into_inner);
        queue = again;
        queue.idle -= 1;
        if waited.timed_out() && queue.jobs.is_empty() {
            queue.threads -= 1;
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// However many batches come at once, each is done, by few threads.
    #[test]
    fn many_batches_share_few_threads() {
        let folder = tempfile::tempdir().unwrap();
        std::thread::scope(|scope| {
            for n in 0..20 {
                let folder = folder.path();
                scope.spawn(move || {
                    for _ in 0..5 {
                        let file = |m| File::create(folder.join(format!("{n}.{m}"))).unwrap();
                        sync_all((0..6).map(file).collect()).unwrap();
                    }
                });
            }
        });
        assert!(queue().threads <= MOST);
        assert!(queue().jobs.is_empty());
    }

    #[test]
    fn a_failure_is_told() {
        let (read, _write) = std::io::pipe().unwrap();
        let file = || File::from(std::os::fd::OwnedFd::from(read.try_clone().unwrap()));
        assert!(sync_all(vec![file()]).is_err());
        let folder = tempfile::tempdir().unwrap();
        let good = || File::create(folder.path().join("good")).unwrap();
        assert!(sync_all(vec![file(), good()]).is_err());
        assert!(sync_all(vec![good(), file()]).is_err());
        sync_all(vec![good(), good()]).unwrap();
    }
}
