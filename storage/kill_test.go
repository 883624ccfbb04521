package storage_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"corbie/munin"
	"corbie/storage"
)

// TestMain makes the test binary a writer that can be killed: CORBIE_TEST_CHILD says what to do, the rest are arguments.
func TestMain(m *testing.M) {
	var err error
	switch what := os.Getenv("CORBIE_TEST_CHILD"); what {
	case "":
		os.Exit(m.Run()) //nolint:forbidigo // the test binary's main
	case "lock":
		err = childLock(os.Args[1])
	case "rollup":
		err = childRollUp(os.Args[1])
	case "live":
		err = childLive(os.Args[1], os.Args[2], os.Args[3], os.Args[4])
	case "faults":
		err = childMeets(os.Args[1], os.Args[2])
	case "trim":
		err = childTrim(os.Args[1], os.Args[2])
	case "write":
		err = childWrite(os.Args[1], os.Args[2])
	default:
		err = fmt.Errorf("unknown child %q", what)
	}
	fmt.Fprintln(os.Stderr, "child:", err)
	os.Exit(1) //nolint:forbidigo // the child's main
}

// child is a process of this test binary.
type child struct {
	process *os.Process
	out     *bufio.Scanner
}

// startChild starts the test binary with os.StartProcess: os/exec has one owner in this project, and this is not it.
func startChild(t *testing.T, what string, args ...string) *child {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	in, inHeld, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	out, outWritten, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	process, err := os.StartProcess(exe, append([]string{exe}, args...), &os.ProcAttr{
		Env:   append(os.Environ(), "CORBIE_TEST_CHILD="+what),
		Files: []*os.File{in, outWritten, os.Stderr},
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range []io.Closer{in, outWritten} {
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
	c := &child{process: process, out: bufio.NewScanner(out)}
	t.Cleanup(func() {
		_ = process.Kill()
		_, _ = process.Wait()
		_ = inHeld.Close()
		_ = out.Close()
	})
	return c
}

func (c *child) line(t *testing.T) string {
	t.Helper()
	if !c.out.Scan() {
		t.Fatalf("the child ended early: %v", c.out.Err())
	}
	return c.out.Text()
}

func (c *child) kill(t *testing.T) {
	t.Helper()
	if err := c.process.Kill(); err != nil {
		t.Fatal(err)
	}
	if _, err := c.process.Wait(); err != nil {
		t.Fatal(err)
	}
}

const (
	killHosts  = 5
	killFields = 40
)

func killID(host, field int) munin.SeriesID {
	return munin.SeriesID{Host: munin.HostID("g;host" + strconv.Itoa(host)), Graph: "load", Field: "f" + strconv.Itoa(field)}
}

// killValue is what every sample of the test holds, so that a wrong one shows.
func killValue(host, field int, ms int64) float64 {
	return float64(ms/1000%100_000 + int64(host*1000+field))
}

// childWrite stores batch after batch, one host each, from the given time on, a second apart, every seventh host late, and says after each
// "host time" once Append returned nil.
func childWrite(dir, from string) error {
	ms, err := strconv.ParseInt(from, 10, 64)
	if err != nil {
		return err
	}
	s, err := storage.Open(dir, storage.Options{Logger: slog.New(slog.NewTextHandler(os.Stderr, nil))})
	if err != nil {
		return err
	}
	for n := 0; ; n++ {
		host := n % killHosts
		at := ms + int64(n/killHosts)*1000
		if n%7 == 0 {
			at -= 3_600_000 + 500 // an hour late, between the samples of others
		}
		batch := make([]munin.Reading, killFields)
		for f := range batch {
			batch[f] = munin.Reading{ID: killID(host, f), Point: munin.Point{T: at, V: killValue(host, f, at)}}
		}
		if err := s.Append(context.Background(), batch); err != nil {
			return err
		}
		fmt.Println(host, at)
	}
}

type written struct {
	host int
	at   int64
}

func TestNothingAcknowledgedIsLostWhenTheWriterIsKilled(t *testing.T) {
	dir := t.TempDir()
	base := time.Now().Add(-3 * 24 * time.Hour).UnixMilli()
	all := make(map[written]bool)
	rng := rand.New(rand.NewPCG(1, 2))
	for round := range kills(t, 8) {
		c := startChild(t, "write", dir, strconv.FormatInt(base+int64(round)*3_600_000, 10))
		for range 1 + rng.IntN(150) {
			all[parseWritten(t, c.line(t))] = true
		}
		c.kill(t)
		for c.out.Scan() { // what it had said before it died
			if strings.Count(c.out.Text(), " ") == 1 {
				all[parseWritten(t, c.out.Text())] = true
			}
		}
	}
	s := open(t, dir)
	missing := 0
	have := make(map[munin.SeriesID]map[int64]float64)
	for w := range all {
		for f := range killFields {
			id := killID(w.host, f)
			if have[id] == nil {
				have[id] = rawMap(t, s, id, munin.Range{From: time.UnixMilli(base).Add(-24 * time.Hour), To: time.UnixMilli(base).Add(24 * 30 * time.Hour)})
			}
			if v, ok := have[id][w.at]; !ok || v != killValue(w.host, f, w.at) {
				missing++
			}
		}
	}
	if len(all) < 100 || missing > 0 {
		t.Errorf("of %d samples that were acknowledged %d are missing or wrong", len(all)*killFields, missing)
	}
	if q := s.Quarantined(); len(q) > 0 {
		t.Errorf("quarantined: %v", q)
	}
}

func parseWritten(t *testing.T, line string) written {
	t.Helper()
	var w written
	if _, err := fmt.Sscan(line, &w.host, &w.at); err != nil {
		t.Fatalf("child said %q: %v", line, err)
	}
	return w
}

func rawMap(t *testing.T, s *storage.Samples, id munin.SeriesID, r munin.Range) map[int64]float64 {
	t.Helper()
	points, err := s.Raw(t.Context(), id, r)
	if err != nil {
		t.Fatal(err)
	}
	m := make(map[int64]float64, len(points))
	for _, p := range points {
		m[p.T] = p.V
	}
	return m
}
