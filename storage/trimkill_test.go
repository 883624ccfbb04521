package storage_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"corbie/munin"
	"corbie/storage"
	"corbie/storage/storagetest"
)

func rngOf(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, seed+1)) } //nolint:gosec // repeatable

// The group of childTrim keeps its hours for so long at least.
const (
	trimSeed  = 33
	trimHours = 20 * day
)

// childTrim rolls up, says "r", and trims until nothing is left to do, which it says as "t". Samples are kept for the given number of days, hours for
// some more.
func childTrim(dir, days string) error {
	n, err := strconv.Atoi(days)
	if err != nil {
		return err
	}
	s, err := storage.Open(dir, storage.Options{})
	if err != nil {
		return err
	}
	ctx, m := context.Background(), newModel(3, rngOf(trimSeed))
	if _, err := s.RollUp(ctx, m.sourceOf); err != nil {
		return err
	}
	fmt.Println("r")
	for {
		r, err := s.Trim(ctx, trimKeep(n), m.sourceOf)
		if err != nil {
			return err
		}
		if r == (storage.TrimResult{}) {
			fmt.Println("t")
			return s.Close()
		}
	}
}

func trimKeep(days int) storage.KeepOf {
	raw := time.Duration(days) * day
	return keepWeb(storage.Keep{Raw: raw, Hour: raw + trimHours})
}

func TestATrimThatIsKilledAtAnyMomentLosesNothingThatIsKept(t *testing.T) {
	dir := t.TempDir()
	m, rng := newModel(3, rngOf(trimSeed)), rngOf(35)
	begin := fillPast(t, dir, m, 150)
	whole := munin.Range{From: begin, To: time.Now().Add(-9 * day)}
	check := func(days int) {
		t.Helper()
		s := open(t, dir, storage.Options{})
		m.check(t, s, whole, day)
		m.check(t, s, munin.Range{From: time.Now().Add(-time.Duration(days) * day).Truncate(day), To: whole.To}, time.Hour)
		closeStore(t, s)
	}
	amid, rounds := 0, kills(t, 10)
	for round := range rounds {
		days := 120 - 100*round/rounds
		c := startChild(t, "trim", dir, strconv.Itoa(days))
		if c.line(t); rng.IntN(8) > 0 {
			<-time.After(time.Duration(rng.IntN(120)) * time.Millisecond)
			c.kill(t)
			for c.out.Scan() {
				amid--
			}
			amid++
		} else if said := c.line(t); said != "t" {
			t.Fatalf("the child said %q", said)
		} else if _, err := c.process.Wait(); err != nil { // It closes the store.
			t.Fatal(err)
		}
		if round%3 == 0 {
			check(days)
		}
	}
	if amid <= 0 {
		t.Logf("all children but %d had ended before they were killed: this time it shows little", rounds+amid)
	}
	s := open(t, dir, storage.Options{})
	trim(t, s, trimKeep(20), m.sourceOf)
	for host, first := range oldest(t, s, m, whole) {
		if age := time.Since(first); isWeb(host) != (age < 50*day) {
			t.Errorf("the oldest sample of %s is %s old", host, munin.FormatDuration(age))
		}
	}
	closeStore(t, s)
	check(20)
}

func isWeb(id munin.HostID) bool { return keepWeb(storage.Keep{Raw: 1})(id).Raw == 1 }

func TestATrimWhoseDiskFillsUpLosesNothingThatIsKept(t *testing.T) {
	disk := storagetest.SmallDisk(t, "size=300m")
	dir, ballast := filepath.Join(disk, "data"), filepath.Join(disk, "ballast")
	m, rng := newModel(3, rngOf(trimSeed)), rngOf(37)
	made := t.TempDir() // where there is room to allocate
	begin := fillPast(t, made, m, 150)
	if err := os.CopyFS(dir, os.DirFS(made)); err != nil {
		t.Fatal(err)
	}
	whole := munin.Range{From: begin, To: time.Now().Add(-9 * day)}
	s := open(t, dir, storage.Options{})
	if _, err := s.RollUp(t.Context(), m.sourceOf); err != nil {
		t.Fatal(err)
	}
	failed := 0
	for _, days := range []int{120, 90, 60, 30} {
		over := make(chan error)
		go func() {
			_, err := s.Trim(t.Context(), trimKeep(days), m.sourceOf)
			over <- err
		}()
		if days < 120 {
			<-time.After(time.Duration(rng.IntN(300)) * time.Millisecond)
		}
		storagetest.Fill(t, ballast)
		err := <-over
		if err != nil {
			failed++
		}
		if err != nil && !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("on a full disk: %v", err)
		}
		if err := os.Remove(ballast); err != nil {
			t.Fatal(err)
		}
		m.check(t, s, whole, day)
		if days == 60 {
			closeStore(t, s)
			s = open(t, dir, storage.Options{})
			m.check(t, s, whole, day)
		}
	}
	storagetest.Fill(t, ballast)
	if r, err := s.Trim(t.Context(), trimKeep(10), m.sourceOf); !errors.Is(err, syscall.ENOSPC) || r.Hosts > 0 {
		t.Errorf("on a disk that is full: %+v, %v", r, err)
	}
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	trim(t, s, trimKeep(20), m.sourceOf)
	m.check(t, s, whole, day)
	t.Logf("%d of 4 runs met the full disk", failed)
}
