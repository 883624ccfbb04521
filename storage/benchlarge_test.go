package storage_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"text/tabwriter"
	"time"

	"corbie/munin"
	"corbie/storage"
	"corbie/storage/series"
)

// largeSeries is how many series the benchmark of a large store has: CORBIE_BENCH_SERIES, else a million.
func largeSeries(b *testing.B) int {
	b.Helper()
	text := os.Getenv("CORBIE_BENCH_SERIES")
	if text == "" {
		return 1_000_000
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		b.Fatal(err)
	}
	return n
}

const (
	largeHostFields = 100
	largeStep       = 5 * time.Minute
	largeSlots      = 138 // eleven and a half hours: as many as there can be before a block is cut
	largeMoreSlots  = 8   // then a block is cut
	largeGC         = 25  // as a master sets it that has so much in memory
)

// largeNames are the graphs and fields of each host; strings are made once, as a master does.
type largeNames [largeHostFields]struct{ graph, field string }

func newLargeNames() *largeNames {
	var names largeNames
	for i := range names {
		names[i].graph, names[i].field = "graph"+strconv.Itoa(i/10), "field"+strconv.Itoa(i%10)
	}
	return &names
}

// poll is what a host says at a time.
func (names *largeNames) poll(batch []munin.Reading, host, slot int, at time.Time) {
	id := munin.HostID("web;host" + strconv.Itoa(host))
	for i := range batch {
		batch[i] = munin.Reading{
			ID:    munin.SeriesID{Host: id, Graph: names[i].graph, Field: names[i].field},
			Point: munin.Point{T: at.UnixMilli(), V: float64(host+i) + float64(slot*(i+1))},
		}
	}
}

// large is a large store, and what was measured of it.
type large struct {
	names *largeNames
	hosts int
	begin time.Time
	base  int64 // memory of the process without the store

	appends, snapshots, longest, cut time.Duration // of processor time; longest is a wait of one append on the clock
	taken                            int           // snapshots
	bytes                            int64         // of the last snapshot
	resident                         int64
	stop                             time.Duration
	started                          map[string]started
}

// started is a start: by the clock, of processor time, and the memory after it.
type started struct {
	wall, cpu time.Duration
	resident  int64
}

// BenchmarkLarge fills a store with nearly twelve hours of 5-minute samples, as much as there can be before a block is cut, a snapshot of what is in memory being
// looked for each 5 minutes as in a master. Then it stops and kills it, starts it again, and goes on until a block is cut. The memory is
// that of the store alone.
func BenchmarkLarge(b *testing.B) {
	defer debug.SetGCPercent(debug.SetGCPercent(largeGC))
	l := &large{
		names: newLargeNames(), hosts: largeSeries(b) / largeHostFields, base: resident(b), started: make(map[string]started),
		begin: time.Now().Truncate(8 * time.Hour).Add(-11*time.Hour - 30*time.Minute),
	}
	dir, crashed := filepath.Join(b.TempDir(), "stopped"), filepath.Join(b.TempDir(), "killed")
	l.fill(b, dir, crashed)
	for name, at := range map[string]string{"stop": dir, "kill": crashed} {
		l.start(b, name, at)
	}
	l.cutBlock(b, crashed)
	l.print(b)
}

func (l *large) series() float64 { return float64(l.hosts * largeHostFields) }

// fill stores the samples, then copies the folder as kill -9 leaves it, and closes the store.
func (l *large) fill(b *testing.B, dir, crashed string) {
	b.Helper()
	s, err := storage.Open(dir, storage.Options{Expect: largeSeries(b)})
	if err != nil {
		b.Fatal(err)
	}
	for slot := range largeSlots {
		began := processor(b)
		l.slot(b, s.Append, slot)
		appended := processor(b)
		if slot > 0 { // the first one makes the series
			l.appends += appended - began
		}
		done, err := s.Snapshot(b.Context(), storage.SnapshotAfter)
		if err != nil {
			b.Fatal(err)
		}
		if done.Series > 0 {
			l.taken, l.bytes = l.taken+1, done.Bytes
			l.snapshots += processor(b) - appended
		}
		l.resident = max(l.resident, resident(b)-l.base)
	}
	if err := os.CopyFS(crashed, os.DirFS(dir)); err != nil {
		b.Fatal(err)
	}
	began := time.Now()
	if err := s.Close(); err != nil {
		b.Fatal(err)
	}
	l.stop = time.Since(began)
}

// slot stores what all hosts say at one time, by as many goroutines as there are processors.
func (l *large) slot(b *testing.B, store func(context.Context, []munin.Reading) error, slot int) {
	b.Helper()
	workers := runtime.GOMAXPROCS(0)
	failed := make([]error, workers)
	longest := make([]time.Duration, workers)
	var all sync.WaitGroup
	for w := range workers {
		all.Go(func() {
			batch := make([]munin.Reading, largeHostFields)
			for host := w; host < l.hosts; host += workers {
				l.names.poll(batch, host, slot, l.begin.Add(time.Duration(slot)*largeStep))
				began := time.Now()
				if failed[w] = store(b.Context(), batch); failed[w] != nil {
					return
				}
				longest[w] = max(longest[w], time.Since(began))
			}
		})
	}
	all.Wait()
	if err := errors.Join(failed...); err != nil {
		b.Fatal(err)
	}
	for _, d := range longest {
		l.longest = max(l.longest, d)
	}
}

// start opens a store and reads from it.
func (l *large) start(b *testing.B, name, dir string) {
	b.Helper()
	runtime.GC()
	debug.FreeOSMemory()
	began, before := time.Now(), processor(b)
	s, err := storage.Open(dir, storage.Options{Expect: largeSeries(b)})
	if err != nil {
		b.Fatal(err)
	}
	batch := make([]munin.Reading, largeHostFields)
	l.names.poll(batch, l.hosts-1, largeSlots-1, l.begin.Add((largeSlots-1)*largeStep))
	sources := make([]munin.Source, len(batch))
	for i := range batch {
		sources[i].ID = batch[i].ID
	}
	got, err := s.Latest(b.Context(), sources, l.begin.Add(largeSlots*largeStep))
	l.started[name] = started{time.Since(began), processor(b) - before, resident(b) - l.base}
	if err != nil || got[7] != batch[7].Point {
		b.Fatal(err, got[7], batch[7].Point)
	}
	raw, err := s.Raw(b.Context(), batch[7].ID, munin.Range{From: l.begin.Add(-time.Hour), To: l.begin.Add(24 * time.Hour)})
	if err != nil || len(raw) != largeSlots {
		b.Fatal(len(raw), err)
	}
	if err := s.Close(); err != nil {
		b.Fatal(err)
	}
}

// cutBlock goes on until a block is cut and the log is cut after it.
func (l *large) cutBlock(b *testing.B, dir string) {
	b.Helper()
	raw := storage.RawDir(dir)
	s, err := series.Open(raw, series.Options{Work: time.Second})
	if err != nil {
		b.Fatal(err)
	}
	for slot := range largeMoreSlots {
		l.slot(b, s.Append, largeSlots+slot)
	}
	appended := processor(b)
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		stat, err := s.Stat(b.Context())
		if err != nil {
			b.Fatal(err)
		}
		log, err := filepath.Glob(filepath.Join(raw, "wal", "checkpoint.*[0-9]"))
		if err != nil {
			b.Fatal(err)
		}
		if stat.Blocks > 0 && (len(log) > 0 || l.series() < 100_000) { // a short log is not cut
			break
		}
		l.resident = max(l.resident, resident(b)-l.base)
		<-tick.C
	}
	l.cut = processor(b) - appended
	if err := s.Close(); err != nil {
		b.Fatal(err)
	}
}

// print shows the figures beside their aims.
func (l *large) print(b *testing.B) {
	b.Helper()
	const block = float64(8 * time.Hour / largeStep)
	stored := l.series() * (largeSlots - 1)
	ingest := stored / (l.appends + l.snapshots + time.Duration(float64(l.cut)*(largeSlots-1)/block)).Seconds()
	kill, stop := l.started["kill"], l.started["stop"]
	memory := max(l.resident, kill.resident, stop.resident)
	t := tabwriter.NewWriter(os.Stdout, 0, 8, 2, ' ', tabwriter.AlignRight)
	row := func(what, measured, aim, note string) {
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t\n", what, measured, aim, note)
	}
	seconds := func(d time.Duration) string { return fmt.Sprintf("%.1f s", d.Seconds()) }
	fmt.Fprintf(t, "\na store of %.0f series, 12 h of 5-minute samples\tmeasured\taim\t\t\n", l.series())
	row("start after kill -9", seconds(kill.wall), "30 s", seconds(kill.cpu)+" of CPU")
	row("start after a stop", seconds(stop.wall), "", seconds(stop.cpu)+" of CPU")
	row("stop", seconds(l.stop), "", "")
	row("resident, at most", fmt.Sprintf("%.2f GB", float64(memory)/1e9), fmt.Sprintf("%.2f GB", l.series()*2000/1e9), fmt.Sprintf("%.0f B a series", float64(memory)/l.series()))
	row("stored in a second of CPU", fmt.Sprintf("%.2f M", ingest/1e6), "1 M", "snapshots and blocks included")
	row("of which appending alone", fmt.Sprintf("%.2f M", stored/l.appends.Seconds()/1e6), "", "longest append "+l.longest.Round(time.Millisecond).String())
	row("a snapshot", seconds(l.snapshots/time.Duration(max(1, l.taken)))+" of CPU", "", fmt.Sprintf("%d MB, %d in 12 h", l.bytes>>20, l.taken))
	row("cutting a block of 8 h", seconds(l.cut)+" of CPU", "", "")
	if err := t.Flush(); err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(kill.wall.Seconds(), "s-start-after-kill")
	b.ReportMetric(kill.cpu.Seconds(), "cpu-s-start-after-kill")
	b.ReportMetric(float64(memory)/l.series(), "B-resident/series")
	b.ReportMetric(ingest, "samples/cpu-s")
}

// processor is the processor time that this process has used: on a machine with much else to do it says more than the clock.
func processor(b *testing.B) time.Duration {
	b.Helper()
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		b.Fatal(err)
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}

// resident is the memory that this process holds.
func resident(b *testing.B) int64 {
	b.Helper()
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		b.Fatal(err)
	}
	var size, pages int64
	if _, err := fmt.Sscan(string(text), &size, &pages); err != nil {
		b.Fatal(err)
	}
	return pages * int64(os.Getpagesize())
}
