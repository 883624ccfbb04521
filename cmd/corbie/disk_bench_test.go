package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"corbie/munin"
	"corbie/storage"
	"corbie/storage/storagetest"
)

// yearValue makes the values of one field of a year: busy and quiet counters, gauges large and small, constants, noise; the same for each call.
func yearValue(i int) (munin.FieldType, func(time.Time) float64) {
	rng := rand.New(rand.NewPCG(uint64(i), 9)) //nolint:gosec // an index
	total, level := 0.0, rng.Float64()*1e9
	switch i % 10 {
	case 0, 1, 2:
		return munin.Derive, func(time.Time) float64 { total += float64(rng.IntN(3_000_000)); return total }
	case 3:
		return munin.Derive, func(time.Time) float64 { total += float64(rng.IntN(30) / 28); return total }
	case 4, 5:
		return munin.Gauge, func(time.Time) float64 { level += float64(rng.IntN(2_000_000) - 1_000_000); return math.Round(level) }
	case 6:
		return munin.Gauge, func(time.Time) float64 { return float64(100 + rng.IntN(20)) }
	case 7:
		return munin.Gauge, func(time.Time) float64 { return math.Round(rng.Float64()*400) / 100 }
	}
	return munin.Gauge, func(time.Time) float64 { return 42 }
}

// BenchmarkDiskOfAYear keeps a year of 5-minute values in Corbie's store, in RRD files and in VictoriaMetrics, and prints what each takes.
// CORBIE_BENCH_FIELDS is the number of fields, 100 by default.
func BenchmarkDiskOfAYear(b *testing.B) {
	count := 100
	if text := os.Getenv("CORBIE_BENCH_FIELDS"); text != "" {
		var err error
		if count, err = strconv.Atoi(text); err != nil {
			b.Fatal(err)
		}
	}
	to := time.Now().Truncate(24 * time.Hour)
	r := munin.Range{From: to.AddDate(-1, 0, 0), To: to}
	for b.Loop() {
		t := sheet()
		samples := float64(r.Duration() / (5 * time.Minute))
		row := func(what string, bytes float64, note string) {
			fmt.Fprintf(t, "%s\t%.1f kB\t%.2f B\t%s\t\n", what, bytes/1000, bytes/samples, note)
		}
		fmt.Fprintf(t, "\na year of %d fields, each\tdisk\tof a value\taim\t\n", count)
		dir := yearOfOurs(b, count, r)
		raw := treeBytes(b, storage.RawDir(dir)) / float64(count)
		row("corbie, raw", raw, "3.6 B a value")
		row("corbie, hours", treeBytes(b, filepath.Join(dir, "hour"))/float64(count), "85 kB")
		row("corbie, days", treeBytes(b, filepath.Join(dir, "day"))/float64(count), "9 kB")
		huge := rrdBytes(b, "1:115200")
		row("RRD file, normal (2 days of values)", rrdBytes(b, "1:576", "6:432", "24:540", "288:450"), "")
		row("RRD file, huge (400 days of values)", huge, fmt.Sprintf("a seventh: corbie is 1/%.1f", huge/raw))
		if _, err := exec.LookPath("victoria-metrics"); err == nil {
			row("VictoriaMetrics", yearOfVictoria(b, count, r)/float64(count), "")
		}
		flush(b, t)
		b.ReportMetric(raw/samples, "B/value")
	}
}

func yearOfOurs(b *testing.B, count int, r munin.Range) (dir string) {
	b.Helper()
	dir = b.TempDir()
	values := make(map[munin.SeriesID]func(time.Time) float64)
	sources := make(map[munin.SeriesID]munin.Source)
	for i := range count {
		id := munin.SeriesID{Host: "web;www1", Graph: "g" + strconv.Itoa(i/10), Field: "f" + strconv.Itoa(i%10)}
		source := munin.Source{ID: id, Heartbeat: 630 * time.Second}
		source.Type, values[id] = yearValue(i)
		sources[id] = source
	}
	if err := storagetest.Backfill(dir, values, r, 5*time.Minute); err != nil {
		b.Fatal(err)
	}
	s, err := storage.Open(dir, storage.Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	_, err = s.RollUp(b.Context(), func(_ context.Context, id munin.SeriesID) (munin.Source, error) { return sources[id], nil })
	if err != nil {
		b.Fatal(err)
	}
	return dir
}

// rrdBytes is the size of a file as munin-update makes it.
func rrdBytes(b *testing.B, archives ...string) float64 {
	b.Helper()
	path := filepath.Join(b.TempDir(), "x.rrd")
	args := []string{"create", path, "--step", "300", "DS:42:GAUGE:600:U:U"}
	for _, a := range archives {
		for _, function := range []string{"AVERAGE", "MIN", "MAX"} {
			args = append(args, "RRA:"+function+":0.5:"+a)
		}
	}
	if out, err := exec.CommandContext(b.Context(), "rrdtool", args...).CombinedOutput(); err != nil {
		b.Fatalf("rrdtool: %v\n%s", err, out)
	}
	return treeBytes(b, path)
}

// yearOfVictoria gives the same values to VictoriaMetrics.
func yearOfVictoria(b *testing.B, count int, r munin.Range) float64 {
	b.Helper()
	dir, address := b.TempDir(), "127.0.0.1:18429"
	p := start(b, "victoria-metrics", nil, "victoria-metrics", "-storageDataPath="+dir, "-httpListenAddr="+address, "-retentionPeriod=10y", "-loggerLevel=INFO")
	p.WaitFor(b, "starting http server")
	dialer := net.Dialer{}
	for err := errors.ErrUnsupported; err != nil; <-time.After(50 * time.Millisecond) {
		var conn net.Conn
		if conn, err = dialer.DialContext(b.Context(), "tcp", address); err == nil {
			_ = conn.Close()
		}
	}
	for i := range count {
		_, value := yearValue(i)
		in, out := io.Pipe()
		go func() {
			w := bufio.NewWriter(out)
			fmt.Fprintf(w, `{"metric":{"__name__":"f%d","host":"www1"},"values":[`, i)
			times := make([]byte, 0, 2<<20)
			comma := ""
			for t := r.From; t.Before(r.To); t = t.Add(5 * time.Minute) {
				fmt.Fprint(w, comma, strconv.FormatFloat(value(t), 'g', -1, 64))
				times = strconv.AppendInt(append(times, comma...), t.UnixMilli(), 10)
				comma = ","
			}
			fmt.Fprintf(w, "],\"timestamps\":[%s]}\n", times)
			_ = out.CloseWithError(w.Flush())
		}()
		victoria(b, address, "/api/v1/import", in)
	}
	victoria(b, address, "/internal/force_flush", nil)
	p.Stop(b) // It writes what is in memory.
	return treeBytes(b, filepath.Join(dir, "data"))
}

func victoria(b *testing.B, address, path string, body io.Reader) {
	b.Helper()
	request, err := http.NewRequestWithContext(b.Context(), http.MethodPost, "http://"+address+path, body)
	if err != nil {
		b.Fatal(err)
	}
	reply, err := (&http.Client{}).Do(request)
	if err != nil {
		b.Fatal(err)
	}
	defer reply.Body.Close()
	if reply.StatusCode/100 != 2 {
		b.Fatalf("%s: %s", path, reply.Status)
	}
}

// treeBytes are the sizes of the files below a folder, without logs.
func treeBytes(b *testing.B, dir string) (total float64) {
	b.Helper()
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() || filepath.Base(filepath.Dir(path)) == "wal" || e.Name() == "reserve" {
			return err
		}
		info, err := e.Info()
		if err == nil {
			total += float64(info.Size())
		}
		return err
	})
	if err != nil {
		b.Fatal(err)
	}
	return total
}
