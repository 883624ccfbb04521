package route

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/prometheus/alertmanager/nflog"
	"github.com/prometheus/alertmanager/nflog/nflogpb"
	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/protobuf/encoding/protodelim"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
)

const (
	// logRetention is how long an open problem stays told. Upstream's five days would tell it anew after them.
	logRetention = 20 * 365 * 24 * time.Hour
	// endedRetention is how long a group without open problems is remembered.
	endedRetention = giveUp
	// compactAt is the size from which the journal is written anew when most of it is outdated.
	compactAt = 1 << 20
)

// journal makes Alertmanager's notification log durable: upstream writes a snapshot every 15 minutes, so that a
// crash doubles the notices of the last ones. Here each entry is appended to a file and synced before Log
// returns; several at once share one sync. The file is a sequence of length-delimited MeshEntry messages, which
// is the format of upstream's snapshot too. While the disk does not take it, it is in memory, see trouble.
type journal struct {
	log     *nflog.Log
	path    string
	trouble trouble

	mu        sync.Mutex // of the file
	file      *os.File   // nil: it has to be written anew
	size      int64
	compacted int64 // size after the last compaction

	pendingMu sync.Mutex
	pending   []byte
	entries   int // ever appended to pending
}

// openJournal reads the file, drops a torn end that a crash has left, and rewrites it without what is outdated.
func openJournal(path string, registerer prometheus.Registerer, logger *slog.Logger) (*journal, error) {
	data, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, syscall.ENOTDIR) {
		return nil, fmt.Errorf("read the notification log: %w", err)
	}
	whole := wholeEntries(data)
	if whole < len(data) {
		logger.Warn("dropped the torn end of the notification log: a notice that was on its way may be told twice",
			"file", path, "bytes", len(data)-whole, "kept", whole)
	}
	j := &journal{path: path, trouble: trouble{logger: logger, file: path}}
	j.log, err = nflog.New(nflog.Options{
		SnapshotReader: bytes.NewReader(data[:whole]), Retention: logRetention, Logger: slog.New(quiet{logger.Handler()}), Metrics: registerer,
	})
	if err != nil {
		return nil, fmt.Errorf("read the notification log %s: %w", path, err)
	}
	j.log.SetBroadcast(func(entry []byte) {
		j.pendingMu.Lock()
		defer j.pendingMu.Unlock()
		j.pending = append(j.pending, entry...)
		j.entries++
	})
	err = j.compact()
	if forbidden(err) {
		return nil, err
	}
	j.trouble.note(err)
	return j, nil
}

// wholeEntries is the length of the longest start of data that is made of whole, valid entries.
func wholeEntries(data []byte) int {
	done := 0
	for done < len(data) {
		length, n := binary.Uvarint(data[done:])
		if n <= 0 || length > uint64(len(data)-done-n) {
			return done
		}
		end := done + n + int(length) //nolint:gosec // bounded by len(data) just above
		var entry nflogpb.MeshEntry
		if err := proto.Unmarshal(data[done+n:end], &entry); err != nil {
			return done
		}
		if entry.GetEntry().GetReceiver() == nil || entry.GetEntry().GetTimestamp() == nil || entry.GetExpiresAt() == nil {
			return done
		}
		done = end
	}
	return done
}

// Log records what a receiver was told: on disk when it returns, unless the disk does not take it. It keeps upstream's signature; expiry is
// decided here.
func (j *journal) Log(r *nflogpb.Receiver, key string, firing, resolved []uint64, store *nflog.Store, _ time.Duration) error {
	expiry := time.Duration(0)
	if len(firing) == 0 {
		expiry = endedRetention
	}
	before := j.appended()
	if err := j.log.Log(r, key, firing, resolved, store, expiry); err != nil {
		return err
	}
	if j.appended() == before {
		// The clock was set back: upstream keeps the entry that is newer by its time, and would tell for ever.
		if err := j.overrule(r, key, firing, store); err != nil {
			return err
		}
	}
	j.trouble.note(j.flush())
	return nil
}

func (j *journal) appended() int {
	j.pendingMu.Lock()
	defer j.pendingMu.Unlock()
	return j.entries
}

// overrule replaces an entry of the future by one that is a moment newer.
func (j *journal) overrule(r *nflogpb.Receiver, key string, firing []uint64, store *nflog.Store) error {
	entries, err := j.query(r, key)
	if err != nil || entries == nil {
		return err
	}
	at := entries.GetTimestamp().AsTime().Add(time.Millisecond)
	entry := &nflogpb.MeshEntry{
		Entry:     &nflogpb.Entry{Receiver: r, GroupKey: []byte(key), Timestamp: timestamppb.New(at), FiringAlerts: firing},
		ExpiresAt: timestamppb.New(at.Add(logRetention)),
	}
	if thread, ok := store.GetStr(storeThread); ok {
		entry.Entry.ReceiverData = map[string]*nflogpb.ReceiverDataValue{
			storeThread: {Value: &nflogpb.ReceiverDataValue_StrVal{StrVal: thread}},
		}
	}
	var buf bytes.Buffer
	if _, err := protodelim.MarshalTo(&buf, entry); err != nil {
		return err
	}
	return j.log.Merge(buf.Bytes())
}

// Query answers as upstream's log does.
func (j *journal) Query(params ...nflog.QueryParam) ([]*nflogpb.Entry, error) {
	return j.log.Query(params...)
}

// query finds the newest entry of a receiver and group, nil when there is none.
func (j *journal) query(r *nflogpb.Receiver, key string) (*nflogpb.Entry, error) {
	entries, err := j.log.Query(nflog.QGroupKey(key), nflog.QReceiver(r))
	if errors.Is(err, nflog.ErrNotFound) {
		return nil, nil //nolint:nilnil // no entry is a fine answer
	}
	if err != nil {
		return nil, fmt.Errorf("query the notification log: %w", err)
	}
	if len(entries) != 1 {
		return nil, fmt.Errorf("query the notification log: %d entries", len(entries))
	}
	return entries[0], nil
}

// flush writes what is pending and syncs it. Whoever waits for the lock finds its entry written by the one
// before.
func (j *journal) flush() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.flushLocked()
}

func (j *journal) flushLocked() error {
	if j.file == nil {
		return j.compactLocked()
	}
	j.pendingMu.Lock()
	data := j.pending
	j.pending = nil
	j.pendingMu.Unlock()
	if len(data) == 0 {
		return nil
	}
	_, err := j.file.Write(data)
	if err == nil {
		err = j.file.Sync()
	}
	if err != nil {
		// What is half written must not stand before what follows.
		if failed := j.file.Truncate(j.size); failed != nil {
			err = errors.Join(err, failed, j.file.Close())
			j.file = nil
		}
		j.pendingMu.Lock()
		j.pending = append(data, j.pending...)
		j.pendingMu.Unlock()
		return fmt.Errorf("write the notification log: %w", err)
	}
	j.size += int64(len(data))
	return nil
}

// maintain drops outdated entries and rewrites the file when most of it is outdated.
func (j *journal) maintain() error {
	if _, err := j.log.GC(); err != nil {
		return fmt.Errorf("clean the notification log: %w", err)
	}
	j.mu.Lock()
	large := j.size > compactAt && j.size > 4*j.compacted
	j.mu.Unlock()
	err := j.flush()
	if large && err == nil {
		err = j.compact()
	}
	j.trouble.note(err)
	return nil
}

// compact writes the log anew and continues with the new file.
func (j *journal) compact() error {
	if _, err := j.log.GC(); err != nil {
		return fmt.Errorf("clean the notification log: %w", err)
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.compactLocked()
}

func (j *journal) compactLocked() error {
	// What is pending now is in the snapshot; what comes while it is made stays pending and is written again.
	j.pendingMu.Lock()
	covered := len(j.pending)
	j.pendingMu.Unlock()
	var buf bytes.Buffer
	if _, err := j.log.Snapshot(&buf); err != nil {
		return fmt.Errorf("write the notification log: %w", err)
	}
	if err := replaceFile(j.path, buf.Bytes()); err != nil {
		return fmt.Errorf("write the notification log: %w", err)
	}
	file, err := os.OpenFile(j.path, os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return fmt.Errorf("open the notification log: %w", err)
	}
	j.pendingMu.Lock()
	j.pending = j.pending[covered:]
	j.pendingMu.Unlock()
	if j.file != nil {
		j.file.Close() // all of it was synced and is replaced
	}
	j.file, j.size, j.compacted = file, int64(buf.Len()), int64(buf.Len())
	return nil
}

// Close writes what is left and closes the file.
func (j *journal) Close() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	err := j.flushLocked()
	if j.file != nil {
		err = errors.Join(err, j.file.Close())
	}
	return err
}

// replaceFile puts data in place of a file such that a crash leaves either the old or the new one.
func replaceFile(path string, data []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	file, err := os.OpenFile(path+".new", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = file.Write(data)
	if err == nil {
		err = file.Sync()
	}
	if err = errors.Join(err, file.Close()); err == nil {
		err = os.Rename(file.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(file.Name()))
	}
	return syncDir(filepath.Dir(path))
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
