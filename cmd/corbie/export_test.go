package main

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"corbie/internal/testenv"
	"corbie/munin"
	"corbie/storage"
	"corbie/storage/catalog"
	"corbie/storage/rollup"
	"corbie/storage/storagetest"
)

// exportFolder is the data folder of a master with four days of three hosts; two graphs of different hosts share a metric.
func exportFolder(t *testing.T) (data string, now time.Time) {
	t.Helper()
	data = filepath.Join(t.TempDir(), "data")
	now = time.Now().Truncate(time.Hour)
	values := make(map[munin.SeriesID]func(time.Time) float64)
	graphs := make(map[munin.HostID][]munin.Graph)
	add := func(host munin.HostID, graph, field string, kind munin.FieldType, value func(time.Time) float64) {
		values[munin.SeriesID{Host: host, Graph: graph, Field: field}] = value
		graphs[host] = append(graphs[host], munin.Graph{Name: graph, Title: graph, Fields: []munin.Field{{Name: field, Type: kind}}})
	}
	add("hall;door", "visitors", "in", munin.Counter, func(at time.Time) float64 { return float64(at.Unix() * 2) })
	add("hall;door", "temperature.rack", "r1", munin.Gauge, func(at time.Time) float64 { return 20 + float64(at.Unix()%86400)/7 })
	add("hall;vault", "temperature.floor", "f", munin.Gauge, func(at time.Time) float64 {
		if at.Hour() == 5 {
			return math.NaN()
		}
		return -1e-7 * float64(at.Unix()%86400)
	})
	add("alone", "temperature.rack", "r1", munin.Gauge, func(at time.Time) float64 { return 1e15 + float64(at.Unix()%97) })
	if err := os.MkdirAll(data, 0o750); err != nil {
		t.Fatal(err)
	}
	if err := storagetest.Backfill(data, values, munin.Range{From: now.Add(-4 * 24 * time.Hour), To: now}, time.Hour); err != nil {
		t.Fatal(err)
	}
	cat, err := catalog.Open(filepath.Join(data, catalogFile), catalog.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for host, all := range graphs {
		poll := &munin.Poll{Host: host, Banner: host.Name(), Slot: now, Start: now, Graphs: all}
		if err := cat.Record(t.Context(), poll); err != nil {
			t.Error(err)
		}
	}
	if err := cat.Close(); err != nil {
		t.Fatal(err)
	}
	return data, now
}

// csvValues are the known values of an export by series, in the notation of promtool, and time in milliseconds.
func csvValues(t *testing.T, text string) map[string]float64 {
	t.Helper()
	rows, err := csv.NewReader(strings.NewReader(text)).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	all := make(map[string]float64)
	for _, row := range rows[1:] {
		at, err := time.Parse(time.RFC3339, row[0])
		if err != nil {
			t.Fatal(err)
		}
		if row[4] == "" {
			continue
		}
		host, group := munin.HostID(row[1]), ""
		if host.Group() != "" {
			group = fmt.Sprintf(", group=%q", host.Group())
		}
		root, _, _ := strings.Cut(row[2], ".")
		key := fmt.Sprintf(`{__name__="munin_%s", field=%q, graph=%q%s, host=%q} %d`, root, row[3], row[2], group, host.Name(), at.UnixMilli())
		if all[key], err = strconv.ParseFloat(row[4], 64); err != nil {
			t.Fatal(err)
		}
	}
	return all
}

func TestPrometheusTakesAnOpenMetricsExportOfAllHostsOfARunningMaster(t *testing.T) {
	t.Parallel()
	promtool := testenv.Program(t, "promtool")
	data, now := exportFolder(t)
	conf := filepath.Join(t.TempDir(), "corbie.yml")
	testenv.WriteFile(t, conf, "interval: 1h\nhosts: {hall;door: '"+testenv.FreeAddress(t, "tcp")+"'}\n", 0o644)
	startMaster(t, data, conf)
	to := fmt.Sprint(now.Unix())
	text := mustCorbie(t, "export", "--all", "--data", data, "--from", "now-30d", "--to", to, "--format", "openmetrics")
	if families := strings.Count(text, "# TYPE munin_temperature "); families != 1 || !strings.HasSuffix(text, "# EOF\n") {
		t.Errorf("%d families munin_temperature, want 1; the end is %q", families, text[max(0, len(text)-40):])
	}
	file, blocks := filepath.Join(t.TempDir(), "values.txt"), t.TempDir()
	testenv.WriteFile(t, file, text, 0o644)
	if out, err := exec.CommandContext(t.Context(), promtool, "tsdb", "create-blocks-from", "openmetrics", file, blocks).CombinedOutput(); err != nil {
		t.Fatalf("promtool: %v\n%s", err, out)
	}
	// It will not dump a folder that has no log.
	if err := os.Mkdir(filepath.Join(blocks, "wal"), 0o750); err != nil {
		t.Fatal(err)
	}
	dump, err := exec.CommandContext(t.Context(), promtool, "tsdb", "dump", blocks).Output()
	if err != nil {
		t.Fatal(err)
	}
	got := make(map[string]float64)
	for line := range strings.Lines(string(dump)) {
		labels, rest, _ := strings.Cut(line, "} ")
		value, at, _ := strings.Cut(strings.TrimSpace(rest), " ")
		if got[labels+"} "+at], err = strconv.ParseFloat(value, 64); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
	}
	want := csvValues(t, mustCorbie(t, "export", "--all", "--data", data, "--from", "now-30d", "--to", to))
	if !maps.Equal(got, want) || len(want) < 4*96-8 || len(want) > 4*96-3 {
		t.Errorf("Prometheus has %d values, the export %d; want the same, some 4 series of 96 without those that are unknown", len(got), len(want))
		for key, v := range want {
			if g, ok := got[key]; !ok || g != v {
				t.Fatalf("%s: %v, %v; want %v", key, g, ok, v)
			}
		}
	}
}

func TestAnExportOfAllHostsIsThatOfEachAndSaysHowFarItIs(t *testing.T) {
	data, now := exportFolder(t)
	to := fmt.Sprint(now.Unix())
	all, talk, code := corbie(t, "export", "--all", "--data", data, "--from", "now-30d", "--to", to, "--progress")
	if code != exitOK || !strings.Contains(talk, "100 %, 4 of 4 graphs, 384 values") {
		t.Errorf("exit %d, it says %q", code, talk)
	}
	var each strings.Builder
	for i, host := range []string{"alone", "hall;door", "hall;vault"} {
		text, talk, _ := corbie(t, "export", host, "--data", data, "--from", "now-30d", "--to", to)
		if talk != "" {
			t.Errorf("%s: nobody asked for %q", host, talk)
		}
		if heading, rest, _ := strings.Cut(text, "\n"); i > 0 {
			each.WriteString(rest)
		} else {
			each.WriteString(heading + "\n" + rest)
		}
	}
	if all != each.String() || strings.Count(all, "\n") != 385 {
		t.Errorf("all hosts are %d lines:\n%.500s\neach alone:\n%.500s", strings.Count(all, "\n"), all, each.String())
	}
	lines := strings.Split(strings.TrimSpace(mustCorbie(t, "export", "--all", "--data", data, "--from", "now-30d", "--to", to, "--format", "jsonl")), "\n")
	rows, err := csv.NewReader(strings.NewReader(all)).ReadAll()
	if err != nil || len(lines) != len(rows)-1 {
		t.Fatalf("%d lines of JSON, %d of CSV, %v", len(lines), len(rows), err)
	}
	for i, line := range lines {
		var row struct {
			Time               time.Time
			Host, Graph, Field string
			Value              *float64
		}
		if err := json.Unmarshal([]byte(line), &row); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		value := ""
		if row.Value != nil {
			value = formatRaw(*row.Value)
		}
		if got := []string{row.Time.Format("2006-01-02T15:04:05.000Z07:00"), row.Host, row.Graph, row.Field, value}; !slices.Equal(got, rows[i+1]) {
			t.Fatalf("JSON has %q, CSV %q", got, rows[i+1])
		}
	}
}

func TestImportedHistoryIsInAnExportOfStepsAndNotInOneOfRawValues(t *testing.T) {
	data, now := exportFolder(t)
	const size = 5 * time.Minute
	h := storage.History{
		Source:   munin.Source{ID: munin.SeriesID{Host: "alone", Graph: "temperature.rack", Field: "r1"}, Type: munin.Gauge},
		Archives: []storage.Archive{{Size: size}},
	}
	begin := now.Add(-10 * 24 * time.Hour)
	for at := begin; at.Before(begin.Add(24 * time.Hour)); at = at.Add(size) {
		h.Archives[0].Buckets = append(h.Archives[0].Buckets, rollup.Bucket{Start: at.UnixMilli(), Bucket: munin.Bucket{Avg: 7, Min: 6, Max: 8, Count: 1}})
	}
	if err := storage.Import(t.Context(), data, []storage.History{h}); err != nil {
		t.Fatal(err)
	}
	args := []string{"export", "alone", "--data", data, "--from", fmt.Sprint(begin.Unix()), "--to", fmt.Sprint(begin.Add(48 * time.Hour).Unix()), "--format", "openmetrics"}
	text, talk, code := corbie(t, args...)
	if code != exitOK || text != "# TYPE munin_temperature unknown\n# EOF\n" {
		t.Errorf("raw: exit %d, %s", code, text)
	}
	// It is not lost silently.
	if want := "corbie: export: not in it: older history of 1 field, from " + begin.Format(time.DateOnly) + " up to "; !strings.HasPrefix(talk, want) ||
		strings.Count(talk, "\n") != 1 || !strings.Contains(talk, "--step 1h prints it") {
		t.Errorf("it says %q, want %q", talk, want)
	}
	if _, talk, _ := corbie(t, "export", "alone", "--data", data, "--from", "now-3d"); talk != "" {
		t.Errorf("where nothing is left out it says %q", talk)
	}
	var want strings.Builder
	want.WriteString("# TYPE munin_temperature unknown\n")
	for hour := range int64(24) {
		fmt.Fprintf(&want, "munin_temperature{field=\"r1\",graph=\"temperature.rack\",host=\"alone\",rollup=\"avg\"} 7 %d\n", begin.Unix()+hour*3600)
	}
	want.WriteString("# EOF\n")
	if text, talk, _ := corbie(t, append(args, "--step", "1h")...); text != want.String() || talk != "" {
		t.Errorf("in hours:\n%s%s\nwant\n%s", talk, text, want.String())
	}
}

func TestTheYearsOfASeriesAreExportedInPiecesThatNeitherOverlapNorLeaveGaps(t *testing.T) {
	at := time.Date(2020, 2, 29, 12, 34, 56, 789e6, time.UTC)
	for _, c := range []struct {
		step, interval, long time.Duration
		least                int
	}{
		{0, time.Second, 400 * 24 * time.Hour, 172},
		{0, 5 * time.Minute, 400 * 24 * time.Hour, 1},
		{0, 10 * time.Second, 400 * 24 * time.Hour, 18},
		{7 * time.Second, time.Minute, 400 * 24 * time.Hour, 24},
		{24 * time.Hour, 5 * time.Minute, 55 * 365 * 24 * time.Hour, 1},
		{200 * 365 * 24 * time.Hour, 5 * time.Minute, 400 * 24 * time.Hour, 1},
	} {
		span := munin.Range{From: at, To: at.Add(c.long)}
		all := pieces(span, c.step, c.interval)
		next := span.From
		for _, piece := range all {
			if !piece.print.From.Equal(next) || !piece.print.From.Before(piece.print.To) {
				t.Errorf("%+v: a piece is %v, the one before ends at %s", c, piece.print, next)
			}
			next = piece.print.To
			if c.step > 0 && !next.Equal(span.To) && next.UnixMilli() != rollup.Floor(next.UnixMilli(), c.step.Milliseconds()) {
				t.Errorf("%+v: a step is cut at %s", c, next)
			}
			if every := max(c.step, c.interval); c.step == 0 && piece.print.Duration() > exportPiece*every {
				t.Errorf("%+v: a piece of %s", c, piece.print.Duration())
			}
			if piece.read.From.After(piece.print.From) || piece.read.To.Before(piece.print.To) || piece.read.From.Before(span.From) || piece.read.To.After(span.To) {
				t.Errorf("%+v: %v is read for %v", c, piece.read, piece.print)
			}
		}
		if !next.Equal(span.To) || len(all) < c.least || len(all) > c.least+1 {
			t.Errorf("%+v: %d pieces, want %d; they end at %s", c, len(all), c.least, next)
		}
	}
}

func TestExportSaysWhatToNameAndHowToSayTheFormat(t *testing.T) {
	for _, c := range []struct{ args, want string }{
		{"", "--all for all of them"},
		{"web1 --all", "leave out the name, or --all"},
		{"--all --format xml", "want csv, jsonl or openmetrics"},
		{"--all --step often", "want a length of time such as 5m"},
	} {
		_, talk, code := corbie(t, append([]string{"export", "--data", t.TempDir()}, strings.Fields(c.args)...)...)
		if code != exitUsage || !strings.Contains(talk, c.want) {
			t.Errorf("export %s: exit %d, %q; want %q", c.args, code, talk, c.want)
		}
	}
}

func TestLabelsOfAnOpenMetricsExportAreEscaped(t *testing.T) {
	if got := escape("a\\b\"c\nd\xff"); got != `a\\b\"c\nd`+"\uFFFD" {
		t.Errorf("escaped: %s", got)
	}
}
