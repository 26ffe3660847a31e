//! Sinks: a bounded queue of records in front of a [`Sink`]. Answers never wait for a sink; a record for which the queue has no
//! space is dropped and counted.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::{FileExt as _, FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::timeout;

use super::Record;
use crate::schema;

/// Maximum number of records that wait for the sink of a file.
pub const QUEUE: usize = 4096;
/// Maximum size of the sources in these records together, in KiB. Callers choose the length of a source.
const QUEUE_KIB: usize = 64 << 10;
/// Maximum number of records in one call of a sink.
const BATCH: usize = 256;
/// Permissions of a file of records.
const MODE: u32 = 0o600;

/// A destination of records. Its calls do not overlap.
#[async_trait]
pub trait Sink: Send + 'static {
    /// Writes records, the oldest first, and returns when they are written.
    ///
    /// # Errors
    /// A message for the log: the records were not written. They are counted as dropped.
    async fn write(&mut self, records: &[Arc<Record>]) -> Result<(), String>;
}

/// The file of records cannot be opened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("record.file cannot be written: {path}: {reason}")]
pub struct RecordFileError {
    path: String,
    reason: String,
}

/// A sink that appends records to a file in their stored form, one JSON object per line. Only its owner can read the file,
/// because records have the names of users and may have sources. A file that was removed or replaced is created again.
pub struct JsonLines {
    file: Arc<Mutex<RecordFile>>,
}

impl JsonLines {
    /// Opens the file for appending; creates it if it does not exist. After an error it is opened again.
    ///
    /// # Errors
    /// It cannot be opened, or is neither a regular file nor a character device.
    pub fn open(path: &Path) -> Result<Self, RecordFileError> {
        let file = RecordFile::open(path)
            .map_err(|error| RecordFileError { path: path.display().to_string(), reason: error.to_string() })?;
        Ok(Self { file: Arc::new(Mutex::new(file)) })
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
        let file = Arc::clone(&self.file);
        let written = spawn_blocking(move || file.lock().unwrap_or_else(PoisonError::into_inner).append(&lines));
        written.await.map_err(|error| error.to_string())?
    }
}

/// A file of lines. Its methods block.
struct RecordFile {
    path: PathBuf,
    /// `None` after an error, until it is opened again.
    file: Option<File>,
}

impl RecordFile {
    fn open(path: &Path) -> io::Result<Self> {
        Ok(Self { path: path.to_owned(), file: Some(open_lines(path)?) })
    }

    /// Appends whole lines.
    fn append(&mut self, lines: &str) -> Result<(), String> {
        let file = self.file.take().filter(|file| is_at(file, &self.path));
        let written = file.map_or_else(|| open_lines(&self.path), Ok).and_then(|mut file| {
            file.write_all(lines.as_bytes())?;
            Ok(file)
        });
        self.file = Some(written.map_err(|error| format!("{}: {error}", self.path.display()))?);
        Ok(())
    }
}

/// Opens a file for appending lines: a line that a failed write left unfinished is ended.
fn open_lines(path: &Path) -> io::Result<File> {
    // Opening a named pipe waits for its reader.
    let is_suitable = |file: fs::Metadata| file.is_file() || file.file_type().is_char_device();
    if fs::metadata(path).is_ok_and(|file| !is_suitable(file)) {
        return Err(io::Error::other("it is neither a regular file nor a character device"));
    }
    let mut file = fs::OpenOptions::new().read(true).append(true).create(true).mode(MODE).open(path)?;
    let (metadata, mut last) = (file.metadata()?, [b'\n']);
    if metadata.is_file() && metadata.len() > 0 {
        file.read_exact_at(&mut last, metadata.len() - 1)?;
    }
    if last != [b'\n'] {
        file.write_all(b"\n")?;
    }
    Ok(file)
}

/// Returns whether the path still leads to this file, which may have been removed or replaced.
fn is_at(file: &File, path: &Path) -> bool {
    let id = |metadata: fs::Metadata| (metadata.dev(), metadata.ino());
    fs::metadata(path).is_ok_and(|at| file.metadata().is_ok_and(|file| id(file) == id(at)))
}

/// A record in the queue, with the memory that it takes there.
struct Queued {
    record: Arc<Record>,
    _memory: OwnedSemaphorePermit,
}

/// The queue in front of a sink, and the task that empties it.
pub(super) struct SinkQueue {
    /// `None` after [`close`](Self::close).
    sender: Mutex<Option<mpsc::Sender<Queued>>>,
    /// A permit for each kibibyte of source.
    memory: Arc<Semaphore>,
    task: Mutex<Option<JoinHandle<()>>>,
    dropped: Arc<AtomicU64>,
}

impl SinkQueue {
    /// Starts the task that writes to the sink. Call it inside a runtime.
    pub(super) fn start(mut sink: impl Sink, capacity: usize) -> Self {
        let (sender, mut records) = mpsc::channel::<Queued>(capacity);
        let dropped = Arc::new(AtomicU64::new(0));
        let not_written = Arc::clone(&dropped);
        let task = tokio::spawn(async move {
            let mut batch = Vec::with_capacity(BATCH);
            while records.recv_many(&mut batch, BATCH).await > 0 {
                let records: Vec<_> = batch.iter().map(|queued: &Queued| Arc::clone(&queued.record)).collect();
                if let Err(error) = sink.write(&records).await {
                    not_written.fetch_add(records.len() as u64, Ordering::Relaxed);
                    tracing::warn!(error, records = records.len(), "records were not written");
                }
                batch.clear();
            }
        });
        let memory = Arc::new(Semaphore::new(QUEUE_KIB));
        Self { sender: Mutex::new(Some(sender)), memory, task: Mutex::new(Some(task)), dropped }
    }

    /// Queues a record; drops and counts it if the queue is full or closed.
    pub(super) fn send(&self, record: &Arc<Record>) {
        let source = record.source.as_ref().map_or(0, String::len).div_ceil(1024);
        let memory =
            u32::try_from(source).ok().and_then(|kib| Arc::clone(&self.memory).try_acquire_many_owned(kib).ok());
        let queued = memory.map(|memory| Queued { record: Arc::clone(record), _memory: memory });
        let sender = self.sender.lock().unwrap_or_else(PoisonError::into_inner);
        let is_sent = match (&*sender, queued) {
            (Some(sender), Some(queued)) => sender.try_send(queued).is_ok(),
            _ => false,
        };
        if !is_sent {
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
        Recorder::new(config, WallClock::starting_at(std::time::UNIX_EPOCH)).unwrap()
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
        for (name, include_source) in [("without", false), ("with", true)] {
            let path = folder.path().join(name);
            let recorder = recorder(&Config { file: Some(path.clone()), include_source, ..Config::default() });
            record(&recorder, 3);
            recorder.close_sink(Duration::from_secs(60)).await;
            let text = fs::read_to_string(path).unwrap();
            assert_eq!(text.contains("secret = 1"), include_source);
            let records = text.lines().map(|line| schema::read::<Record>(serde_json::from_str(line).unwrap()).unwrap());
            // Stored times are whole microseconds.
            let stored = |record: &Arc<Record>| schema::read::<Record>(schema::write(&**record).unwrap()).unwrap();
            let kept: Vec<Record> = recorder.ledger().all().iter().map(stored).collect();
            assert!(kept.iter().all(|record| record.source.is_none()));
            assert_eq!(records.map(|record| Record { source: None, ..record }).collect::<Vec<_>>(), kept);
            assert_eq!(recorder.dropped(), 0);
        }
    }

    #[test]
    fn a_file_that_cannot_be_written_is_refused_by_its_name() {
        let folder = tempfile::tempdir().unwrap();
        let missing = folder.path().join("missing/records");
        for path in [missing.as_path(), folder.path()] {
            let error = JsonLines::open(path).err().unwrap().to_string();
            assert!(error.starts_with(&format!("record.file cannot be written: {}: ", path.display())), "{error}");
        }
    }

    #[test]
    fn the_file_is_its_owners_alone_and_an_unfinished_line_spoils_no_other() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("records");
        RecordFile::open(&path).unwrap().append("{}\n{\"torn").unwrap();
        RecordFile::open(&path).unwrap().append("[]\n").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "{}\n{\"torn\n[]\n");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, MODE);
    }

    #[test]
    fn a_file_that_was_removed_or_replaced_is_created_again() {
        let folder = tempfile::tempdir().unwrap();
        let (path, rotated) = (folder.path().join("records"), folder.path().join("rotated"));
        let mut file = RecordFile::open(&path).unwrap();
        file.append("1\n").unwrap();
        fs::rename(&path, &rotated).unwrap();
        file.append("2\n").unwrap();
        fs::remove_file(&path).unwrap();
        file.append("3\n").unwrap();
        let read = |path| fs::read_to_string(path).unwrap();
        assert_eq!((read(&rotated), read(&path)), ("1\n".to_owned(), "3\n".to_owned()));
    }

    #[tokio::test(start_paused = true)]
    async fn sources_on_their_way_have_a_bound_in_bytes() {
        let recorder = recorder(&Config { include_source: true, ..Config::default() })
            .with_sink(Slow(Duration::MAX, Arc::default()), QUEUE);
        let request = Request::new(Program::python("#".repeat(1 << 20)), &RequestLimits::default()).unwrap();
        for number in 0..100 {
            drop(recorder.open(number.to_string(), &request));
        }
        assert_eq!(recorder.dropped(), 100 - (QUEUE_KIB as u64 >> 10));
    }
}
