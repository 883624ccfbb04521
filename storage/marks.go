package storage

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"maps"
	"math"
	"os"
	"path/filepath"
	"time"

	"corbie/munin"
	"corbie/storage/disk"
)

// marksDir and marksFile are where a data folder says which raw samples were deleted before the others of their blocks.
const (
	marksDir  = "retention"
	marksFile = "trimmed.json"
	// maxMarksBytes is how large that file may be: some hundred thousand hosts.
	maxMarksBytes = 64 << 20
)

// marks say up to when the raw samples of hosts have gone, though blocks of that time are there. It is written before anything is deleted: a rollup
// made anew takes what is older from the one before.
type marks struct {
	// Before is by the name under which the samples are stored, in Unix milliseconds.
	Before map[munin.HostID]int64 `json:"before"`
	// Hours are gone up to here, though there are hours of that time for others.
	Hours map[munin.HostID]int64 `json:"hours,omitempty"`
	// Unfinished: the samples may not all have been deleted yet.
	Unfinished bool `json:"unfinished,omitempty"`
}

// of is the time before which a host has no raw samples; math.MinInt64 where nothing was deleted.
func (m *marks) of(host munin.HostID) int64 {
	if t, ok := m.Before[host]; ok {
		return t
	}
	return math.MinInt64
}

// reach says whether raw samples of some host were deleted that are newer than a time.
func (m *marks) reach(since int64) bool {
	for _, at := range m.Before {
		if at > since {
			return true
		}
	}
	return false
}

// with are the marks moved on; they never move back.
func (m *marks) with(before map[munin.HostID]int64, unfinished bool) *marks {
	return &marks{Before: later(m.Before, before), Hours: m.Hours, Unfinished: unfinished}
}

// withHours are the marks with those of hours moved on.
func (m *marks) withHours(hours map[munin.HostID]int64) *marks {
	return &marks{Before: m.Before, Hours: later(m.Hours, hours), Unfinished: m.Unfinished}
}

// later is the later of both times of each host.
func later(a, b map[munin.HostID]int64) map[munin.HostID]int64 {
	out := make(map[munin.HostID]int64, len(a)+len(b))
	maps.Copy(out, a)
	for host, t := range b {
		if before, ok := out[host]; !ok || t > before {
			out[host] = t
		}
	}
	return out
}

// since says from when on there is something of a host to be read.
type since struct {
	raw, hours int64 // Unix milliseconds; math.MinInt64 where nothing of the host went before the rest
}

// readable says from when on a host is read where. Raw samples are so some days after the oldest, which the first rates need.
func (m *marks) readable(host munin.HostID) since {
	s := since{raw: math.MinInt64, hours: math.MinInt64}
	if t, ok := m.Before[host]; ok {
		s.raw = t + trimReach.Milliseconds()
	}
	if t, ok := m.Hours[host]; ok {
		s.hours = t
	}
	return s
}

// readMarks reads those of a data folder. What cannot be understood is set aside by a writer, and said: the history of those hosts is then read from
// hours and days only where no other samples of that time are.
func readMarks(dir string, writes bool, log *slog.Logger) (*marks, error) {
	path := filepath.Join(dir, marksDir, marksFile)
	text, err := readAtMost(path, maxMarksBytes)
	if errors.Is(err, fs.ErrNotExist) {
		return &marks{}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read which samples were deleted: %w", err)
	}
	m, dropped, err := parseMarks(text, time.Now())
	if err == nil {
		if dropped > 0 {
			log.Error("the file that says which hosts are kept for less has entries that cannot be: they are passed over; put that of a backup in its place",
				"path", path, "entries", dropped)
		}
		return m, nil
	}
	log.Error("the file that says which hosts are kept for less is damaged: put that of a backup in its place", "path", path, "err", err)
	if writes {
		err = os.Rename(path, path+".damaged")
	}
	if disk.Stuck(err) {
		err = nil // The next start moves it.
	}
	return &marks{}, err
}

// readAtMost reads a file up to one byte more than a limit.
func readAtMost(path string, most int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, most+1))
}

// parseMarks understands the text of the file. Entries that no master writes are dropped and counted: a time to come would hide samples that are there.
func parseMarks(text []byte, now time.Time) (m *marks, dropped int, err error) {
	if len(text) > maxMarksBytes {
		return nil, 0, fmt.Errorf("it is larger than %d MB", maxMarksBytes>>20)
	}
	m = &marks{}
	if err := json.Unmarshal(text, m); err != nil {
		return nil, 0, err
	}
	limit := now.UnixMilli()
	wrong := func(host munin.HostID, at int64) bool {
		if bad := host.Name() == "" || at < 0 || at > limit; bad {
			dropped++
			return true
		}
		return false
	}
	maps.DeleteFunc(m.Before, wrong)
	maps.DeleteFunc(m.Hours, wrong)
	return m, dropped, nil
}

// save flushes the marks to the disk, and replaces the file all at once.
func (m *marks) save(dir string) error {
	text, err := json.Marshal(m)
	if err != nil {
		return err
	}
	folder := filepath.Join(dir, marksDir)
	if err := os.MkdirAll(folder, 0o750); err != nil {
		return err
	}
	path := filepath.Join(folder, marksFile)
	f, err := os.OpenFile(path+".tmp", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o640)
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = os.Rename(path+".tmp", path)
	}
	if err != nil {
		return err
	}
	d, err := os.Open(folder)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
