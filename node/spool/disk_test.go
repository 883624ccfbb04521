package spool_test

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"

	"corbie/internal/testenv"
	"corbie/node/spool"
)

func TestSpoolGoesOnAfterACrashWhereItWas(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		var m master
		for i := range 20 {
			s := open(t, dir, spool.Options{Segment: 700})
			for j := range 5 {
				add(t, s, sample("load", 5*i+j))
				wait(time.Second)
			}
			m.poll(t, s)
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			// What a crash leaves: the beginning of a record.
			newest := segments(t, dir)
			file, err := os.OpenFile(newest[len(newest)-1], os.O_APPEND|os.O_WRONLY, 0)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := file.WriteString("\xc3Sp\x1a\x30\x00\x00\x00torn"); err != nil {
				t.Fatal(err)
			}
			_ = file.Close() // It was written.
		}
		s := open(t, dir, spool.Options{})
		m.poll(t, s)
		m.wants(t, 100)
		if st := s.Status(); st.Damaged != 12 || st.Samples != 100 || st.Lost != 0 {
			t.Errorf("status %+v", st)
		}
	})
}

func segments(t *testing.T, dir string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.spool"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no segments in %s: %v", dir, err)
	}
	return files
}

func TestDamageCostsOnlyTheRecordsThatItHit(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		s := open(t, dir, spool.Options{})
		for i := range 100 {
			add(t, s, sample("load", i))
			wait(time.Second)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		path := segments(t, dir)[0]
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		text[len(text)/2] ^= 0xff
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		s = open(t, dir, spool.Options{})
		var m master
		m.poll(t, s)
		m.wants(t, 99)
		if s.Status().Damaged == 0 {
			t.Error("the damage is not told")
		}
	})
}

func TestOldestGoFirstAndTheLossIsCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := open(t, t.TempDir(), spool.Options{Size: 20_000, Segment: 1000})
		var m master
		for i := range 1000 {
			add(t, s, sample("load", i))
			wait(time.Second)
			if i == 100 {
				m.poll(t, s)
				m.poll(t, s) // It has got what it was given.
			}
		}
		st := s.Status()
		if st.Bytes > 20_000 || st.Samples < 100 {
			t.Errorf("status %+v", st)
		}
		if want := 1000 - 101 - st.Samples; st.Lost != want {
			t.Errorf("lost %d, want %d: the 101 that were fetched are no loss", st.Lost, want)
		}
		text, got := fetch(t, s, 0)
		if uint64(got.Samples) != st.Samples || !strings.Contains(text, ":999\n") || !strings.HasPrefix(text, "multigraph load\ngraph_title") {
			t.Errorf("%d samples are served of %d that are kept", got.Samples, st.Samples)
		}
	})
}

func TestAgeDropsWhatIsOlderThanItMayBe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := open(t, t.TempDir(), spool.Options{Keep: 24 * time.Hour})
		for i := range 3 * 288 {
			add(t, s, sample("load", i))
			wait(5 * time.Minute)
			if err := s.Maintain(); err != nil {
				t.Fatal(err)
			}
		}
		st := s.Status()
		if age := time.Since(st.Oldest); age < 24*time.Hour || age > 26*time.Hour {
			t.Errorf("the oldest is %v old", age)
		}
		if st.Lost+st.Samples != 3*288 {
			t.Errorf("status %+v", st)
		}
	})
}

func TestLimitsCanBeChanged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := open(t, t.TempDir(), spool.Options{Size: 2 << 20, Segment: 1000})
		for i := range 1000 {
			add(t, s, sample("load", i))
			wait(time.Second)
		}
		before := s.Status()
		s.SetLimits(time.Hour, 20_000)
		if err := s.Maintain(); err != nil {
			t.Fatal(err)
		}
		if st := s.Status(); before.Lost != 0 || st.Bytes > 20_000 || st.Samples < 100 || st.Lost+st.Samples != before.Samples {
			t.Errorf("status %+v, before %+v", st, before)
		}
	})
}

func TestFullDiskCostsTheOldestSamples(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		full, writes := 0, 0
		s := open(t, t.TempDir(), spool.Options{Segment: 1000, Fault: func() error {
			if writes++; full > 0 {
				full--
				return fmt.Errorf("write: %w", syscall.ENOSPC)
			}
			return nil
		}})
		for i := range 200 {
			if i == 150 {
				full = 1
			}
			add(t, s, sample("load", i))
			wait(time.Second)
		}
		st := s.Status()
		if st.Lost == 0 || st.Lost > 20 || st.Samples+st.Lost != 200 {
			t.Errorf("status %+v", st)
		}
		full = 1 << 30 // and stays so
		if err := s.Append(sample("load", 1)); err == nil {
			t.Error("a disk without any room took a sample")
		}
		if st := s.Status(); st.Samples < 100 {
			t.Errorf("all was dropped for room that does not come: %+v", st)
		}
		full = 0
		wait(time.Second)
		add(t, s, sample("load", 2))
		wait(time.Second)
		if text, _ := fetch(t, s, time.Now().Unix()-2); !strings.Contains(text, ":2\n") {
			t.Errorf("it does not go on:\n%s", text)
		}
	})
}

func TestReadOnlyDiskIsCountedAndGotOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var fault error
		s := open(t, t.TempDir(), spool.Options{Segment: 1000, Fault: func() error { return fault }})
		for i := range 60 {
			fault = nil
			if i >= 20 && i < 40 {
				fault = syscall.EROFS
			}
			_ = s.Append(sample("load", i)) // The status tells.
			wait(time.Second)
		}
		if st := s.Status(); st.Lost != 20 || st.Samples != 40 {
			t.Errorf("status %+v", st)
		}
		var m master
		m.poll(t, s)
		m.wants(t, 40)
	})
}

func TestFullFileSystemCostsTheOldestSamples(t *testing.T) {
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=400k"); err != nil {
		testenv.Need(t, fmt.Sprintf("root, to mount a small file system (%v)", err), false)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Errorf("unmount: %v", err)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		s := open(t, dir, spool.Options{Segment: 32 << 10, Log: slog.New(slog.DiscardHandler)})
		defer s.Close()
		const total = 20_000
		for i := range total {
			add(t, s, sample("load", i))
			wait(time.Second)
		}
		st := s.Status()
		if st.Lost == 0 || st.Samples+st.Lost != total || st.Bytes < 300<<10 {
			t.Errorf("status %+v", st)
		}
		var m master
		m.poll(t, s)
		m.wants(t, int(st.Samples))
		if m.since < time.Now().Unix()-2 {
			t.Errorf("the newest sample is not there: %d", m.since)
		}
	})
}
