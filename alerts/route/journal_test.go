package route

import (
	"bytes"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/alertmanager/nflog"
	"github.com/prometheus/alertmanager/nflog/nflogpb"
	"github.com/prometheus/client_golang/prometheus"
)

func openTest(tb testing.TB, path string) *journal {
	tb.Helper()
	j, err := openJournal(path, prometheus.NewRegistry(), slog.New(slog.DiscardHandler))
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { j.file.Close() })
	return j
}

// openCopy opens what a crash would have left now.
func openCopy(t *testing.T, path string) *journal {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	copied := filepath.Join(t.TempDir(), "nflog")
	if err := os.WriteFile(copied, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return openTest(t, copied)
}

func receiverNamed(name string) *nflogpb.Receiver {
	return &nflogpb.Receiver{GroupName: name, Integration: "webhook"}
}

func firingOf(t *testing.T, j *journal, name, key string) []uint64 {
	t.Helper()
	entry, err := j.query(receiverNamed(name), key)
	if err != nil {
		t.Fatal(err)
	}
	return entry.GetFiringAlerts()
}

func TestAnEntryIsOnDiskWhenLogReturns(t *testing.T) {
	path := filepath.Join(t.TempDir(), "nflog")
	j := openTest(t, path)
	var wg sync.WaitGroup
	for i := range 50 {
		wg.Go(func() {
			name := fmt.Sprintf("r%d", i)
			if err := j.Log(receiverNamed(name), "key", []uint64{uint64(i)}, nil, nflog.NewStore(nil), 0); err != nil {
				t.Error(err)
			}
			data, err := os.ReadFile(path)
			if err != nil || wholeEntries(data) != len(data) {
				t.Errorf("the file is not whole: %v", err)
			}
		})
	}
	wg.Wait()
	// No Close: the process is gone.
	again := openTest(t, path)
	for i := range 50 {
		if got := firingOf(t, again, fmt.Sprintf("r%d", i), "key"); !slices.Equal(got, []uint64{uint64(i)}) {
			t.Errorf("r%d: %v", i, got)
		}
	}
}

func TestATornEndIsDroppedAndTheRestKept(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "nflog")
	j := openTest(t, path)
	var sizes []int
	for i := range uint64(3) {
		if err := j.Log(receiverNamed("r"), fmt.Sprint("key", i), []uint64{i}, nil, nflog.NewStore(nil), 0); err != nil {
			t.Fatal(err)
		}
		sizes = append(sizes, int(j.size))
	}
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for cut := sizes[1]; cut < sizes[2]; cut++ {
		for _, tail := range [][]byte{nil, {0, 0, 0, 0}, {0xff, 0xff, 0xff}} {
			torn := append(slices.Clone(whole[:cut]), tail...)
			// A tail may happen to end the entry well; what stood before it is kept in any case.
			if got := wholeEntries(torn); got < sizes[1] || tail == nil && got > sizes[1] {
				t.Fatalf("cut at %d: %d bytes are whole, want %d", cut, got, sizes[1])
			}
		}
	}
	if err := os.WriteFile(path, whole[:sizes[2]-1], 0o600); err != nil {
		t.Fatal(err)
	}
	again := openTest(t, path)
	if a, b, c := firingOf(t, again, "r", "key0"), firingOf(t, again, "r", "key1"), firingOf(t, again, "r", "key2"); len(a) != 1 || len(b) != 1 || c != nil {
		t.Errorf("got %v %v %v", a, b, c)
	}
	// What is appended after the torn end is read again.
	if err := again.Log(receiverNamed("r"), "key2", []uint64{9}, nil, nflog.NewStore(nil), 0); err != nil {
		t.Fatal(err)
	}
	if got := firingOf(t, openTest(t, path), "r", "key2"); !slices.Equal(got, []uint64{9}) {
		t.Errorf("got %v", got)
	}
}

func TestAProblemOfYearsStaysToldAndAnEndedOneIsForgotten(t *testing.T) {
	path := filepath.Join(t.TempDir(), "nflog")
	synctest.Test(t, func(t *testing.T) {
		j := openTest(t, path)
		for key, firing := range map[string][]uint64{"open": {1}, "ended": {}} {
			if err := j.Log(receiverNamed("r"), key, firing, nil, nflog.NewStore(nil), 0); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(3 * 365 * 24 * time.Hour) //nolint:forbidigo // the clock of the bubble
		if err := j.maintain(); err != nil {
			t.Fatal(err)
		}
		again := openTest(t, path)
		if got := firingOf(t, again, "r", "open"); !slices.Equal(got, []uint64{1}) {
			t.Errorf("the open problem is %v", got)
		}
		if entry, _ := again.query(receiverNamed("r"), "ended"); entry != nil {
			t.Error("the ended one is still there")
		}
	})
}

func TestAClockThatIsSetBackDoublesNothing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "nflog")
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Hour) //nolint:forbidigo // the clock of the bubble
		store := nflog.NewStore(nil)
		store.SetStr(storeThread, "x@y")
		if err := openTest(t, path).Log(receiverNamed("r"), "key", []uint64{1}, nil, store, 0); err != nil {
			t.Fatal(err)
		}
	})
	synctest.Test(t, func(t *testing.T) { // an hour earlier
		j := openTest(t, path)
		for _, firing := range [][]uint64{{1, 2}, {}, {3}} {
			entry, err := j.query(receiverNamed("r"), "key")
			if err != nil {
				t.Fatal(err)
			}
			if err := j.Log(receiverNamed("r"), "key", firing, nil, nflog.NewStore(entry), 0); err != nil {
				t.Fatal(err)
			}
			if got := firingOf(t, j, "r", "key"); !slices.Equal(got, firing) {
				t.Errorf("got %v, want %v", got, firing)
			}
			if got := firingOf(t, openCopy(t, path), "r", "key"); !slices.Equal(got, firing) {
				t.Errorf("after a restart: got %v, want %v", got, firing)
			}
		}
		entry, err := j.query(receiverNamed("r"), "key")
		if err != nil {
			t.Fatal(err)
		}
		if thread, _ := nflog.NewStore(entry).GetStr(storeThread); thread != "x@y" {
			t.Errorf("the thread is %q", thread)
		}
	})
}

func TestTheJournalIsRewrittenWhenItIsMostlyOutdated(t *testing.T) {
	path := filepath.Join(t.TempDir(), "nflog")
	j := openTest(t, path)
	firing := make([]uint64, 20_000)
	for i := range firing {
		firing[i] = uint64(i) << 40
	}
	for range 12 {
		if err := j.Log(receiverNamed("r"), "key", firing, nil, nflog.NewStore(nil), 0); err != nil {
			t.Fatal(err)
		}
	}
	large := j.size
	if err := j.maintain(); err != nil {
		t.Fatal(err)
	}
	if j.size > large/10 {
		t.Errorf("%d bytes of %d are left", j.size, large)
	}
	if err := j.Log(receiverNamed("r"), "more", []uint64{7}, nil, nflog.NewStore(nil), 0); err != nil {
		t.Fatal(err)
	}
	again := openTest(t, path)
	if got := firingOf(t, again, "r", "key"); len(got) != len(firing) {
		t.Errorf("%d entries", len(got))
	}
	if got := firingOf(t, again, "r", "more"); len(got) != 1 {
		t.Errorf("got %v", got)
	}
}

func FuzzWholeEntries(f *testing.F) {
	path := filepath.Join(f.TempDir(), "nflog")
	j := openTest(f, path)
	for i := range uint64(2) {
		if err := j.Log(receiverNamed("r"), fmt.Sprint("key", i), []uint64{i}, nil, nflog.NewStore(nil), 0); err != nil {
			f.Fatal(err)
		}
	}
	data, err := os.ReadFile(path)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Add(data[:len(data)-3])
	f.Add([]byte{0, 0})
	f.Fuzz(func(t *testing.T, data []byte) {
		whole := wholeEntries(data)
		if whole < 0 || whole > len(data) || wholeEntries(data[:whole]) != whole {
			t.Fatalf("%d of %d bytes are whole", whole, len(data))
		}
		_, err := nflog.New(nflog.Options{SnapshotReader: bytes.NewReader(data[:whole]), Metrics: prometheus.NewRegistry()})
		if err != nil {
			t.Fatalf("what is whole cannot be read: %v", err)
		}
	})
}

// BenchmarkLog measures what the durability of one notice costs.
func BenchmarkLog(b *testing.B) {
	j := openTest(b, filepath.Join(b.TempDir(), "nflog"))
	for i := 0; b.Loop(); i++ {
		if err := j.Log(receiverNamed("r"), fmt.Sprint("key", i%1000), []uint64{1, 2}, nil, nflog.NewStore(nil), 0); err != nil {
			b.Fatal(err)
		}
	}
}

// TestTheLogIsKeptInMemoryWhereItCannotBeWritten has a file in the place of its folder, as good as a full disk.
func TestTheLogIsKeptInMemoryWhereItCannotBeWritten(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "alerts")
	if err := os.WriteFile(folder, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	path := filepath.Join(folder, "nflog")
	j, err := openJournal(path, prometheus.NewRegistry(), slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := j.Close(); err != nil {
			t.Error(err)
		}
	}()
	for i := range uint64(3) {
		if err := j.Log(receiverNamed("r"), fmt.Sprint("key", i), []uint64{i}, nil, nflog.NewStore(nil), 0); err != nil {
			t.Fatal(err)
		}
	}
	if got := firingOf(t, j, "r", "key1"); !slices.Equal(got, []uint64{1}) {
		t.Errorf("in memory it is %v", got)
	}
	if err := os.Remove(folder); err != nil {
		t.Fatal(err)
	}
	if err := j.maintain(); err != nil {
		t.Fatal(err)
	}
	if got := firingOf(t, openCopy(t, path), "r", "key1"); !slices.Equal(got, []uint64{1}) {
		t.Errorf("on disk it is %v", got)
	}
	if e, i := strings.Count(log.String(), "level=ERROR"), strings.Count(log.String(), "written again"); e != 1 || i != 1 {
		t.Errorf("it is said %d times that it fails, %d times that it is over:\n%s", e, i, log.String())
	}
}
