package storage_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"corbie/munin"
	"corbie/storage"
	"corbie/storage/backup"
	"corbie/storage/catalog"
	"corbie/storage/series"
)

// kills is how often a test kills its child: few, or as many as CORBIE_TEST_KILLS says.
func kills(t *testing.T, few int) int {
	t.Helper()
	text := os.Getenv("CORBIE_TEST_KILLS")
	if text == "" {
		return few
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// patience ends a broken test; it never makes one pass.
const patience = time.Minute

const (
	lifeWindow = 30 * day // of the child: it ingests a month in fast motion
	lifeStep   = 20 * time.Minute
	lifeSteps  = 144 // two days
	lifeFields = 20  // of each host
)

// childLive does everything at once that a master does, in fast motion: it ingests, fills gaps days late, rolls up by ever new recipes, writes
// snapshots and backs up, while the TSDB cuts and merges blocks. It says "s HOST TIME" for each batch that was acknowledged, "b" when a backup begins and
// "B" when it is complete.
func childLive(dir, copies, from, seed string) error {
	ms, err := strconv.ParseInt(from, 10, 64)
	if err != nil {
		return err
	}
	number, err := strconv.ParseUint(seed, 10, 64)
	if err != nil {
		return err
	}
	s, err := storage.Open(dir, storage.Options{Window: lifeWindow, LogFile: 256 << 10, Logger: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError}))})
	if err != nil {
		return err
	}
	c, err := catalog.Open(filepath.Join(dir, "catalog.db"), catalog.Options{})
	if err != nil {
		return err
	}
	l := life{samples: s, catalog: c, begin: ms, rng: rand.New(rand.NewPCG(number, 1))} //nolint:gosec // repeatable
	fmt.Println("open")
	failed := make(chan error)
	go func() { failed <- l.ingest() }()
	go func() { failed <- l.rollUp(number) }()
	go func() { failed <- l.backUp(dir, copies) }()
	go func() { failed <- l.snapshots() }()
	return <-failed
}

type life struct {
	samples *storage.Samples
	catalog *catalog.Catalog
	begin   int64
	rng     *rand.Rand
	said    sync.Mutex
}

func (l *life) say(text string) {
	l.said.Lock()
	defer l.said.Unlock()
	fmt.Println(text)
}

func (l *life) ingest() error {
	ctx := context.Background()
	for n := 0; ; n++ {
		host := n % killHosts
		at := l.begin + int64(n/killHosts%lifeSteps)*lifeStep.Milliseconds() // in the end it repeats itself
		if l.rng.IntN(5) == 0 {                                              // late, between the samples of others
			at -= int64(1+l.rng.IntN(lifeSteps))*lifeStep.Milliseconds() + int64(1+l.rng.IntN(500))
		}
		batch := make([]munin.Reading, lifeFields)
		for f := range batch {
			batch[f] = munin.Reading{ID: killID(host, f), Point: munin.Point{T: at, V: killValue(host, f, at)}}
		}
		if err := l.samples.Append(ctx, batch); err != nil {
			return fmt.Errorf("append: %w", err)
		}
		slot := time.UnixMilli(at)
		poll := &munin.Poll{Host: killID(host, 0).Host, Banner: "x", Start: slot, Slot: slot, Graphs: []munin.Graph{{Name: "load", Title: strconv.FormatInt(at, 10)}}}
		if err := l.catalog.Record(ctx, poll); err != nil {
			return fmt.Errorf("record: %w", err)
		}
		l.say(fmt.Sprint("s ", host, " ", at))
	}
}

func (l *life) rollUp(round uint64) error {
	for ; ; round++ {
		_, err := l.samples.RollUp(context.Background(), func(_ context.Context, id munin.SeriesID) (munin.Source, error) {
			return killSource(id, int(round%1000)), nil
		})
		if err != nil {
			return fmt.Errorf("roll up: %w", err)
		}
	}
}

func (l *life) snapshots() error {
	for {
		if _, err := l.samples.Snapshot(context.Background(), 1); err != nil {
			return fmt.Errorf("snapshot: %w", err)
		}
		<-time.After(time.Millisecond)
	}
}

func (l *life) backUp(dir, copies string) error {
	for {
		l.say("b")
		if _, err := backup.Make(context.Background(), dir, copies, nil); err != nil {
			return fmt.Errorf("back up: %w", err)
		}
		l.say("B")
	}
}

// lives is what the parent knows of all its children.
type lives struct {
	dir, copies string
	begin       time.Time
	acked       []written
	copied      int // how many of acked the last complete backup must have
	opened      int // children that got as far as that
	caught      map[string]int
}

// one starts a child, kills it a while after its start or after it said something, and takes down what it had said.
func (l *lives) one(t *testing.T, round int, since string, after time.Duration) {
	t.Helper()
	at := l.begin.Add(time.Duration(round%200) * 150 * time.Minute)
	c := startChild(t, "live", l.dir, l.copies, strconv.FormatInt(at.UnixMilli(), 10), strconv.Itoa(round))
	timer := time.AfterFunc(after, func() { _ = c.process.Kill() })
	defer timer.Stop()
	if since != "" {
		timer.Reset(patience)
	}
	begun := 0
	for c.out.Scan() {
		kind, rest, _ := strings.Cut(c.out.Text(), " ")
		if kind == since {
			timer.Reset(after)
			since = ""
		}
		switch kind {
		case "open":
			l.opened++
		case "b":
			begun = len(l.acked)
		case "B":
			l.copied = begun
		case "s":
			l.acked = append(l.acked, parseWritten(t, rest))
		}
	}
	state, err := c.process.Wait()
	if err != nil {
		t.Fatal(err)
	}
	if status, ok := state.Sys().(syscall.WaitStatus); !ok || !status.Signaled() {
		t.Fatalf("round %d: the child ended by itself, see above: %v", round, state)
	}
	for what, pattern := range map[string]string{
		"cutting or merging blocks": "data/raw/*.tmp-for-creation", "rolling up": "data/*/*.part", "backing up": "backup/objects/*.part",
		"freezing for a backup": "data/raw/readonly-*", "truncating the log": "data/raw/w?l/*.tmp",
		"writing a snapshot": "data/raw/chunk_snapshot.*.tmp", "a snapshot was there": "data/raw/chunk_snapshot.*/whole",
	} {
		if found, err := filepath.Glob(filepath.Join(filepath.Dir(l.dir), pattern)); err != nil || len(found) > 0 {
			l.caught[what]++
		}
	}
}

// history writes blocks of old samples, as an import does.
func (l *lives) history(t *testing.T, from, to time.Time, step time.Duration) {
	t.Helper()
	var readings []munin.Reading
	for at := from; at.Before(to); at = at.Add(step) {
		for host := range killHosts {
			for f := range lifeFields {
				ms := at.UnixMilli()
				readings = append(readings, munin.Reading{ID: killID(host, f), Point: munin.Point{T: ms, V: killValue(host, f, ms)}})
			}
			l.acked = append(l.acked, written{host, at.UnixMilli()})
		}
	}
	if err := series.WriteBlocks(t.Context(), storage.RawDir(l.dir), slices.Values(readings)); err != nil {
		t.Fatal(err)
	}
}

// check looks for everything that was acknowledged, and compares rollups with the samples.
func (l *lives) check(t *testing.T, s *storage.Samples, acked []written, rounds ...int) {
	t.Helper()
	m := &model{sources: make(map[munin.SeriesID]munin.Source), raw: make(map[munin.SeriesID]map[int64]float64)}
	for host := range killHosts {
		for f := range lifeFields {
			m.raw[killID(host, f)] = rawMap(t, s, killID(host, f), munin.Range{From: l.begin.Add(-70 * day), To: l.begin.Add(40 * day)})
		}
	}
	missing := 0
	for _, w := range acked {
		for f := range lifeFields {
			if v, ok := m.raw[killID(w.host, f)][w.at]; !ok || v != killValue(w.host, f, w.at) {
				missing++
			}
		}
	}
	if missing > 0 {
		t.Fatalf("of %d samples that were acknowledged %d are missing or wrong", len(acked)*lifeFields, missing)
	}
	whole := munin.Range{From: l.begin.Add(-60 * day), To: l.begin.Add(24 * day)}
	for _, round := range rounds {
		for id := range m.raw {
			m.sources[id] = killSource(id, round%1000)
		}
		m.check(t, s, whole, day)
		m.check(t, s, whole, 4*time.Hour)
	}
}

func (l *lives) checkReadOnly(t *testing.T, dir string, acked []written, rounds ...int) {
	t.Helper()
	s, err := storage.OpenReadOnly(dir, storage.Options{})
	if err != nil {
		t.Fatal(err)
	}
	l.check(t, s, acked, rounds...)
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

func (l *lives) checkBackup(t *testing.T) {
	t.Helper()
	if l.copied == 0 {
		return
	}
	to := filepath.Join(t.TempDir(), "restored")
	if _, err := backup.Restore(t.Context(), l.copies, to, nil); err != nil {
		t.Fatal(err)
	}
	l.checkReadOnly(t, to, l.acked[:l.copied])
}

// TestKillingTheMasterLosesNothing kills a process that ingests, back-fills, cuts and merges blocks, rolls up and backs up, at any moment of
// its life, its start included.
func TestKillingTheMasterLosesNothing(t *testing.T) {
	base := t.TempDir()
	l := &lives{
		dir: filepath.Join(base, "data"), copies: filepath.Join(base, "backup"), caught: make(map[string]int),
		begin: time.Now().UTC().Truncate(day).Add(-26 * day),
	}
	l.history(t, l.begin.Add(-60*day), l.begin.Add(-3*day), 2*time.Hour)
	rng := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 3)) //nolint:gosec // any moment will do
	count := kills(t, 16)
	for round := range count {
		since := []string{"open", "", "open", "B", "open", "open", "", "open"}[round%8]
		l.one(t, round, since, time.Duration(rng.IntN(500))*time.Millisecond)
		if round%10 == 4 { // something old comes late
			day0 := l.begin.Add(-time.Duration(10+round%45) * day)
			l.history(t, day0.Add(time.Duration(round)*time.Second), day0.Add(6*time.Hour), time.Hour)
		}
		if round%20 == 9 {
			l.checkReadOnly(t, l.dir, l.acked, round)
		}
		if round%40 == 12 {
			l.checkBackup(t)
		}
	}
	l.checkBackup(t)
	s := open(t, l.dir, storage.Options{Window: lifeWindow})
	l.check(t, s, l.acked, count-1, count, 500)
	if q := s.Quarantined(); len(q) > 0 {
		t.Errorf("set aside: %v", q)
	}
	if l.opened < count/4 || l.copied == 0 {
		t.Errorf("of %d children %d got as far as opening; %d samples must be in the backup: the test shows little", count, l.opened, l.copied)
	}
	c, err := catalog.Open(filepath.Join(l.dir, "catalog.db"), catalog.Options{})
	if err != nil {
		t.Fatal(err)
	}
	hosts, err := c.Hosts(t.Context())
	if err = errors.Join(err, c.Close()); err != nil || len(hosts) != killHosts {
		t.Errorf("the catalogue knows %v, %v", hosts, err)
	}
	stat, err := s.Stat(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d kills, %d of them after the start; %d samples acknowledged, none missing; %d blocks; killed while %v", count, l.opened,
		len(l.acked)*lifeFields, stat.Blocks, l.caught)
}
