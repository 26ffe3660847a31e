//! Sinks: a bounded queue of records in front of a [`Sink`]. Answers never wait for a sink; a record for which the queue has no
//! space is dropped and counted.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::io::AsyncWriteExt as _;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::Record;
use crate::schema;

/// Maximum number of records that wait for the sink of a file.
pub const QUEUE: usize = 4096;
/// Maximum number of records in one call of a sink.
const BATCH: usize = 256;

/// A destination of records. Its calls do not overlap.
#[async_trait]
pub trait Sink: Send + 'static {
    /// Writes records, the oldest first, and returns when they are written.
    ///
    /// # Errors
    /// A message for the log: the records were not written. They are counted as dropped.
    async fn write(&mut self, records: &[Arc<Record>]) -> Result<(), String>;
}

/// A sink that appends records to a file in their stored form, one JSON object per line.
pub struct JsonLines {
    path: PathBuf,
    file: Option<tokio::fs::File>,
}

impl JsonLines {
    /// Returns a sink for this file. The first record opens or creates the file; after an error it is opened again.
    pub fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), file: None }
    }

    async fn append(&mut self, lines: &[u8]) -> std::io::Result<()> {
        let mut file = match self.file.take() {
            Some(file) => file,
            None => tokio::fs::OpenOptions::new().append(true).create(true).open(&self.path).await?,
        };
        file.write_all(lines).await?;
        file.flush().await?;
        self.file = Some(file);
        Ok(())
    }
}

#[async_trait]
impl Sink for JsonLines {
    async fn write(&mut self, records: &[Arc<Record>]) -> Result<(), String> {
        let mut lines = String::new();
        for record in records {
            let line = schema::write(&**record).map_err(|error| error.to_string())?;
            lines.push_str(&line.to_string());
            lines.push('\n');
        }
        self.append(lines.as_bytes()).await.map_err(|error| format!("{}: {error}", self.path.display()))
    }
}

/// The queue in front of a sink, and the task that empties it.
pub(super) struct SinkQueue {
    /// `None` after [`close`](Self::close).
    sender: Mutex<Option<mpsc::Sender<Arc<Record>>>>,
    task: Mutex<Option<JoinHandle<()>>>,
    dropped: Arc<AtomicU64>,
}

impl SinkQueue {
    /// Starts the task that writes to the sink. Call it inside a runtime.
    pub(super) fn start(mut sink: impl Sink, capacity: usize) -> Self {
        let (sender, mut records) = mpsc::channel::<Arc<Record>>(capacity);
        let dropped = Arc::new(AtomicU64::new(0));
        let not_written = Arc::clone(&dropped);
        let task = tokio::spawn(async move {
            let mut batch = Vec::with_capacity(BATCH);
            while records.recv_many(&mut batch, BATCH).await > 0 {
                if let Err(error) = sink.write(&batch).await {
                    not_written.fetch_add(batch.len() as u64, Ordering::Relaxed);
                    tracing::warn!(error, records = batch.len(), "records were not written");
                }
                batch.clear();
            }
        });
        Self { sender: Mutex::new(Some(sender)), task: Mutex::new(Some(task)), dropped }
    }

    /// Queues a record; drops and counts it if the queue is full or closed.
    pub(super) fn send(&self, record: &Arc<Record>) {
        let sender = self.sender.lock().unwrap_or_else(PoisonError::into_inner);
        if sender.as_ref().is_none_or(|sender| sender.try_send(Arc::clone(record)).is_err()) {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Returns how many records were dropped, or could not be written.
    pub(super) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Closes the queue and waits until its records are written, at most for `limit`. Returns false if some were not.
    pub(super) async fn close(&self, limit: Duration) -> bool {
        drop(self.sender.lock().unwrap_or_else(PoisonError::into_inner).take());
        let task = self.task.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(mut task) = task else { return true };
        if timeout(limit, &mut task).await.is_ok() {
            return true;
        }
        task.abort();
        false
    }
}

impl Drop for SinkQueue {
    fn drop(&mut self) {
        if let Some(task) = self.task.get_mut().unwrap_or_else(PoisonError::into_inner).take() {
            task.abort();
        }
    }
}

#[cfg(test)]
mod tests {
    use switchtower_contract::Program;
    use tokio::time::{Instant, sleep};

    use super::super::{Config, Recorder};
    use super::*;
    use crate::clock::WallClock;
    use crate::error::Error;
    use crate::request::{Request, RequestLimits};

    /// A sink whose calls take this long, and which collects the ids.
    struct Slow(Duration, Arc<Mutex<Vec<String>>>);

    #[async_trait]
    impl Sink for Slow {
        async fn write(&mut self, records: &[Arc<Record>]) -> Result<(), String> {
            sleep(self.0).await;
            self.1.lock().unwrap().extend(records.iter().map(|record| record.id.clone()));
            Ok(())
        }
    }

    fn recorder(config: &Config) -> Recorder {
        Recorder::new(config, WallClock::starting_at(std::time::UNIX_EPOCH))
    }

    fn record(recorder: &Recorder, count: u32) {
        let request = Request::new(Program::python("secret = 1"), &RequestLimits::default()).unwrap();
        for number in 0..count {
            drop(recorder.open(number.to_string(), &request).refused(Error::NoTier { reason: "none".to_owned() }));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_sink_delays_no_answer_and_dropped_records_are_counted() {
        let written = Arc::new(Mutex::new(Vec::new()));
        let sink = Slow(Duration::from_secs(10), Arc::clone(&written));
        let recorder = recorder(&Config::default()).with_sink(sink, 4);
        let started = Instant::now();
        record(&recorder, 10);
        assert_eq!((started.elapsed(), recorder.dropped()), (Duration::ZERO, 6));
        recorder.close_sink(Duration::from_secs(60)).await;
        assert_eq!(*written.lock().unwrap(), ["0", "1", "2", "3"]);
        assert_eq!(recorder.ledger().all().len(), 10);
    }

    #[tokio::test(start_paused = true)]
    async fn closing_waits_no_longer_than_its_limit() {
        let recorder = recorder(&Config::default()).with_sink(Slow(Duration::MAX, Arc::default()), 4);
        record(&recorder, 1);
        let started = Instant::now();
        recorder.close_sink(Duration::from_secs(5)).await;
        assert_eq!(started.elapsed(), Duration::from_secs(5));
        record(&recorder, 1);
        assert_eq!(recorder.dropped(), 1);
    }

    #[tokio::test]
    async fn the_file_has_one_readable_record_per_line_and_the_source_only_if_it_is_configured() {
        let folder = tempfile::tempdir().unwrap();
        for (name, source) in [("without", false), ("with", true)] {
            let path = folder.path().join(name);
            let recorder = recorder(&Config { file: Some(path.clone()), source, ..Config::default() });
            record(&recorder, 3);
            recorder.close_sink(Duration::from_secs(60)).await;
            let text = std::fs::read_to_string(path).unwrap();
            assert_eq!(text.contains("secret = 1"), source);
            let records = text.lines().map(|line| schema::read::<Record>(serde_json::from_str(line).unwrap()).unwrap());
            // Stored times are whole microseconds.
            let stored = |record: &Arc<Record>| schema::read::<Record>(schema::write(&**record).unwrap()).unwrap();
            let kept: Vec<Record> = recorder.ledger().all().iter().map(stored).collect();
            assert_eq!(records.collect::<Vec<_>>(), kept);
            assert_eq!(recorder.dropped(), 0);
        }
    }
}
