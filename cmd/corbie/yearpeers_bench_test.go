package main

import (
	"bufio"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"corbie/internal/testenv"
	"corbie/munin"
	"corbie/storage/storagetest"
)

// hugeRows is how many values a file of graph_data_size huge keeps: 400 days.
const hugeRows = 115_200

// rrdFiles are files as munin-update makes them, with the values of a year given to them by rrdtool.
type rrdFiles struct {
	normal, huge float64 // bytes of one
	asked        []string
}

// newRRDFiles makes a file of each kind, fills them, and sees that their sizes stay and that a huge one has the values. The files that questions
// are asked of are copies of it. It is nil where there is no rrdtool.
func newRRDFiles(b *testing.B, h *history) *rrdFiles {
	b.Helper()
	if _, err := exec.LookPath("rrdtool"); err != nil {
		return nil
	}
	dir, f := b.TempDir(), &rrdFiles{}
	const gauge = 8 // of storagetest.Mix: whole numbers
	f.normal = fileOfYear(b, filepath.Join(dir, "normal.rrd"), h, gauge, "1:576", "6:432", "24:540", "288:450")
	path := filepath.Join(dir, "huge.rrd")
	f.huge = fileOfYear(b, path, h, gauge, "1:"+strconv.Itoa(hugeRows))
	compareFile(b, path, h, gauge)
	whole, err := os.ReadFile(path)
	must(b, err)
	for i := range askedCount {
		f.asked = append(f.asked, filepath.Join(dir, fmt.Sprintf("huge%d.rrd", i)))
		must(b, os.WriteFile(f.asked[i], whole, 0o600))
	}
	return f
}

// fileOfYear is the size of a file that was made and then filled with the values of a field.
func fileOfYear(b *testing.B, path string, h *history, field int, archives ...string) float64 {
	b.Helper()
	args := []string{"create", path, "--start", strconv.FormatInt(h.r.From.Unix()-300, 10), "--step", "300", "DS:42:GAUGE:600:U:U"}
	for _, a := range archives {
		for _, function := range []string{"AVERAGE", "MIN", "MAX"} {
			args = append(args, "RRA:"+function+":0.5:"+a)
		}
	}
	testenv.RRDTool(b, args...)
	made := treeBytes(b, path)
	_, value := storagetest.Mix(yearSeed, field)
	const batch = 4000
	args = []string{"update", path}
	for t := h.r.From; t.Before(h.r.To); t = t.Add(yearStep) {
		args = append(args, strconv.FormatInt(t.Unix(), 10)+":"+strconv.FormatFloat(value(t), 'g', -1, 64))
		if len(args) == batch {
			testenv.RRDTool(b, args...)
			args = args[:2]
		}
	}
	if len(args) > 2 {
		testenv.RRDTool(b, args...)
	}
	if filled := treeBytes(b, path); filled != made {
		b.Errorf("%s took %.0f bytes empty and takes %.0f", path, made, filled)
	}
	return made
}

// compareFile wants each value of the year in a huge file.
func compareFile(b *testing.B, path string, h *history, field int) {
	b.Helper()
	from, to := strconv.FormatInt(h.r.From.Unix(), 10), strconv.FormatInt(h.r.To.Unix(), 10)
	stored := make(map[int64]float64)
	for line := range strings.Lines(testenv.RRDTool(b, "fetch", path, "AVERAGE", "--start", from, "--end", to)) {
		at, text, found := strings.Cut(strings.TrimSpace(line), ": ")
		t, err := strconv.ParseInt(at, 10, 64)
		v, wrong := strconv.ParseFloat(text, 64)
		if found && err == nil && wrong == nil {
			stored[t] = v
		}
	}
	_, value := storagetest.Mix(yearSeed, field)
	for t := h.r.From; t.Before(h.r.To); t = t.Add(yearStep) {
		want := value(t)
		if t.After(h.r.From) && math.Abs(stored[t.Unix()]-want) > 1e-9*math.Abs(want) {
			b.Fatalf("%s has %v at %s, want %v", path, stored[t.Unix()], t, want)
		}
	}
}

// time asks one rrdtool that keeps running, so that its start does not count.
func (f *rrdFiles) time(b *testing.B, r munin.Range, q question) time.Duration {
	b.Helper()
	if f == nil {
		return 0
	}
	cmd := exec.CommandContext(b.Context(), "rrdtool", "-")
	in, err := cmd.StdinPipe()
	must(b, err)
	out, err := cmd.StdoutPipe()
	must(b, err)
	must(b, cmd.Start())
	line := fmt.Sprintf("xport --start %d --end %d --step %d --maxrows 100000", r.From.Unix(), r.To.Unix(), int(q.step/time.Second))
	for i, path := range f.asked[:q.count] {
		for _, function := range []string{"AVERAGE", "MIN", "MAX"} {
			line += fmt.Sprintf(" DEF:%[1]s%[2]d=%[3]s:42:%[1]s XPORT:%[1]s%[2]d", function, i, path)
		}
	}
	answers := bufio.NewScanner(out)
	answers.Buffer(nil, 1<<20)
	ask := func() {
		_, err := io.WriteString(in, line+"\n")
		must(b, err)
		rows := 0
		for answers.Scan() {
			switch text := answers.Text(); {
			case strings.Contains(text, "<row>"):
				rows++
			case strings.HasPrefix(text, "ERROR"):
				b.Fatal("rrdtool: " + text)
			case strings.HasPrefix(text, "OK "):
				if rows < int(r.Duration()/q.step)-2 {
					b.Fatalf("rrdtool gave %d rows", rows)
				}
				return
			}
		}
		b.Fatal("rrdtool ended", answers.Err())
	}
	ask()
	took, _ := quickest(ask)
	must(b, in.Close())
	_, err = io.Copy(io.Discard, out)
	must(b, err)
	must(b, cmd.Wait())
	return took
}

// victoria is Debian's VictoriaMetrics; nil where there is none.
type victoria struct {
	*process

	dir, url string
}

func startVictoria(b *testing.B, dir string) *victoria {
	b.Helper()
	if _, err := exec.LookPath("victoria-metrics"); err != nil {
		return nil
	}
	address := testenv.FreeAddress(b, "tcp")
	v := &victoria{dir: dir, url: "http://" + address}
	v.process = start(b, "victoria-metrics", nil, "victoria-metrics", "-storageDataPath="+dir, "-httpListenAddr="+address,
		"-retentionPeriod=10y", "-loggerLevel=INFO", "-search.disableCache", "-search.maxPointsPerTimeseries=100000")
	v.WaitFor(b, "starting http server")
	testenv.AwaitListener(b, address)
	return v
}

// take gives it the values of the first so many fields of a history, by its import API.
func (v *victoria) take(b *testing.B, name string, h *history, fields int) {
	b.Helper()
	if v == nil {
		return
	}
	var times []byte
	for t := h.r.From; t.Before(h.r.To); t = t.Add(yearStep) {
		times = append(strconv.AppendInt(times, t.UnixMilli(), 10), ',')
	}
	var group errgroup.Group
	group.SetLimit(runtime.GOMAXPROCS(0))
	for i := range fields {
		group.Go(func() error {
			kind, value := storagetest.Mix(yearSeed, i)
			line := fmt.Appendf(nil, `{"metric":{"__name__":%q,"kind":%q,"number":"%d","asked":"%t"},"values":[`, name, kind, i, i < askedCount)
			for t := h.r.From; t.Before(h.r.To); t = t.Add(yearStep) {
				if n := value(t); n == math.Trunc(n) && math.Abs(n) < 1<<53 {
					line = append(strconv.AppendInt(line, int64(n), 10), ',')
				} else {
					line = append(strconv.AppendFloat(line, n, 'g', -1, 64), ',')
				}
			}
			line = append(append(line[:len(line)-1], `],"timestamps":[`...), times[:len(times)-1]...)
			return v.post("/api/v1/import", strings.NewReader(string(append(line, "]}\n"...))))
		})
	}
	must(b, group.Wait())
	must(b, v.post("/internal/force_flush", nil))
}

func (v *victoria) post(path string, body io.Reader) error {
	reply, err := new(http.Client).Post(v.url+path, "application/json", body)
	if err != nil {
		return err
	}
	defer reply.Body.Close()
	if reply.StatusCode/100 != 2 {
		text, _ := io.ReadAll(io.LimitReader(reply.Body, 1000))
		return fmt.Errorf("%s: %s: %s", path, reply.Status, text)
	}
	return nil
}

// time asks it for average, least and greatest of each step: of the values of gauges, and of the rates of counters.
func (v *victoria) time(b *testing.B, r munin.Range, q question) time.Duration {
	b.Helper()
	if v == nil {
		return 0
	}
	name := map[int]string{1: "year", 5: "fiveyears"}[q.years]
	seconds := int(q.step / time.Second)
	text := fmt.Sprintf(`(rollup(%[1]s{asked="true",kind="GAUGE"}[%[2]ds]), rollup_rate(%[1]s{asked="true",kind!="GAUGE"}[%[2]ds]))`, name, seconds)
	want := 3 * q.count
	if q.count == 1 {
		text = fmt.Sprintf(`rollup_rate(%s{number="0"}[%ds])`, name, seconds)
	}
	form := url.Values{
		"query": {text}, "nocache": {"1"}, "step": {strconv.Itoa(seconds) + "s"},
		"start": {strconv.FormatInt(r.From.Unix(), 10)}, "end": {strconv.FormatInt(r.To.Unix(), 10)},
	}
	ask := func() {
		reply, err := new(http.Client).Get(v.url + "/api/v1/query_range?" + form.Encode())
		must(b, err)
		answer, err := io.ReadAll(reply.Body)
		must(b, err)
		_ = reply.Body.Close()
		if got := strings.Count(string(answer), `"metric":`); reply.StatusCode != http.StatusOK || got != want {
			b.Fatalf("VictoriaMetrics gave %d series, want %d: %s\n%.500s", got, want, reply.Status, answer)
		}
	}
	ask()
	took, _ := quickest(ask)
	return took
}

// stop ends it, so that it writes what is in memory, and says how many bytes it keeps.
func (v *victoria) stop(b *testing.B) float64 {
	b.Helper()
	if v == nil {
		return 0
	}
	v.Signal(b, syscall.SIGTERM)
	_ = v.Wait(b)
	return treeBytes(b, filepath.Join(v.dir, "data"))
}
