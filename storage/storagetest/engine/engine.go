// Package engine starts the engines that remote storage is tested with: Debian's prometheus and victoria-metrics. It is for tests only.
package engine

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"corbie/internal/testenv"
)

// Engine is one that runs.
type Engine struct {
	URL   string // without a slash at its end
	flush string // path that makes what was written visible; empty: it is at once
	dir   string // of its data
	pid   int
}

// Prometheus starts Debian's prometheus with a receiver of remote write and a window for late samples. It runs until the end of the test.
func Prometheus(tb testing.TB) *Engine {
	tb.Helper()
	dir := tb.TempDir()
	conf := filepath.Join(dir, "prometheus.yml")
	text := "global: {scrape_interval: 1h}\nstorage: {tsdb: {out_of_order_time_window: 8d}}\n"
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		tb.Fatal(err)
	}
	address := testenv.FreeAddress(tb, "tcp")
	pid := start(tb, "prometheus", "--config.file="+conf, "--storage.tsdb.path="+filepath.Join(dir, "data"), "--web.listen-address="+address,
		"--web.enable-remote-write-receiver", "--storage.tsdb.retention.time=10y", "--log.level=warn")
	e := &Engine{URL: "http://" + address, dir: filepath.Join(dir, "data"), pid: pid}
	e.await(tb, "/-/ready")
	return e
}

// VictoriaMetrics starts Debian's victoria-metrics. It runs until the end of the test.
func VictoriaMetrics(tb testing.TB) *Engine {
	tb.Helper()
	dir, address := tb.TempDir(), testenv.FreeAddress(tb, "tcp")
	pid := start(tb, "victoria-metrics", "-storageDataPath="+dir, "-httpListenAddr="+address, "-retentionPeriod=10y", "-loggerLevel=WARN", "-memory.allowedBytes=256MB")
	e := &Engine{URL: "http://" + address, flush: "/internal/force_flush", dir: dir, pid: pid}
	e.await(tb, "/health")
	return e
}

// start runs a program until the end of the test; where it is not installed the test is skipped.
func start(tb testing.TB, name string, args ...string) (pid int) {
	tb.Helper()
	cmd := exec.CommandContext(context.WithoutCancel(tb.Context()), testenv.Program(tb, name), args...) //nolint:gosec // what the test asks for
	return testenv.Start(tb, name, cmd).Cmd.Process.Pid
}

// Usage is what an engine has used since it began: processor time, resident memory now, and disk.
type Usage struct {
	CPU            time.Duration
	Resident, Disk int64
}

// Usage asks the system, which must be Linux.
func (e *Engine) Usage(tb testing.TB) Usage {
	tb.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", e.pid))
	if err != nil {
		tb.Fatal(err)
	}
	const fieldUser, fieldSystem, fieldResident, tick = 11, 12, 21, 10 * time.Millisecond
	_, rest, _ := strings.Cut(string(text), ") ")
	fields := strings.Fields(rest)
	number := func(i int) int64 {
		v, err := strconv.ParseInt(fields[i], 10, 64)
		if err != nil {
			tb.Fatal(err)
		}
		return v
	}
	u := Usage{
		CPU:      time.Duration(number(fieldUser)+number(fieldSystem)) * tick,
		Resident: number(fieldResident) * int64(os.Getpagesize()),
	}
	err = filepath.WalkDir(e.dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil {
			return nil //nolint:nilerr // files come and go
		}
		if info, err := d.Info(); err == nil && info.Mode().IsRegular() {
			u.Disk += info.Size()
		}
		return nil
	})
	if err != nil {
		tb.Fatal(err)
	}
	return u
}

func (e *Engine) await(tb testing.TB, path string) {
	tb.Helper()
	testenv.Eventually(tb, e.URL+" is ready", func() bool {
		status, _ := e.get(tb, path)
		return status == http.StatusOK
	})
}

// Flush makes what was written visible.
func (e *Engine) Flush(tb testing.TB) {
	tb.Helper()
	if e.flush == "" {
		return
	}
	if status, text := e.get(tb, e.flush); status != http.StatusOK {
		tb.Fatalf("flush: %d %s", status, text)
	}
}

// Query asks the engine itself, now, in PromQL, and gives its answer as JSON. VictoriaMetrics shows the last half minute only to who wants no cache.
func (e *Engine) Query(tb testing.TB, query string) string {
	tb.Helper()
	status, text := e.get(tb, "/api/v1/query?"+url.Values{"query": {query}, "nocache": {"1"}}.Encode())
	if status != http.StatusOK {
		tb.Fatalf("%s: %d %s", query, status, text)
	}
	return text
}

func (e *Engine) get(tb testing.TB, path string) (int, string) {
	tb.Helper()
	req, err := http.NewRequestWithContext(tb.Context(), http.MethodGet, e.URL+path, nil)
	if err != nil {
		tb.Fatal(err)
	}
	resp, err := new(http.Client).Do(req)
	if err != nil {
		return 0, err.Error()
	}
	defer resp.Body.Close()
	text, _ := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	return resp.StatusCode, string(text)
}
