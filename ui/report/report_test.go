package report_test

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"flag"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"corbie/munin"
	"corbie/ui/report"
)

var update = flag.Bool("update", false, "rewrite the expected outputs")

func date(text string) time.Time {
	t, err := time.Parse(time.DateOnly, text)
	if err != nil {
		panic(err)
	}
	return t.Add(12 * time.Hour)
}

func findings() []munin.Finding {
	id := func(host, graph, field string) munin.SeriesID {
		return munin.SeriesID{Host: munin.HostID(host), Graph: graph, Field: field}
	}
	const gib = 1 << 30
	return []munin.Finding{
		{
			ID: id("web;www1.example.com", "df", "_dev_sda1"), Title: "Disk usage in percent", Label: "/boot", Unit: "%", Base: 1000,
			Used: 100, Ceiling: 100, Verdict: munin.Full, Full10: date("2026-11-21"), Full50: date("2026-11-21"), Full90: date("2026-11-21"),
			Chance30: 1, GrowthPerDay: 0, Days: 400,
		},
		{
			ID: id("web;www1.example.com", "df", "_dev_sda2"), Title: "Disk usage in percent", Label: "/var", Unit: "%", Base: 1000,
			Used: 92.13, Ceiling: 100, Verdict: munin.Filling, Full10: date("2026-12-01"), Full50: date("2026-12-15"), Full90: date("2027-02-20"),
			Chance30: .64, GrowthPerDay: .31, Days: 312, Missing: 4, Note: "taken for single events: the drop by 31 % of the ceiling on 2026-10-03",
		},
		{
			ID: id("db;db1.example.com", "memory", "apps"), Title: "Memory usage", Label: "apps", Unit: "Bytes", Base: 1024,
			Used: 41.2 * gib, Ceiling: 64 * gib, Verdict: munin.Filling, Full10: date("2027-02-20"), Full50: date("2027-03-12"), Full90: date("2027-04-30"),
			Chance30: .004, GrowthPerDay: .2 * gib, Days: 731,
		},
		{
			ID: id("db;db1.example.com", "open_files", "used"), Title: "File table usage", Label: "open files",
			Unit: "number of open files", Base: 1000, Used: 812345, Ceiling: 2416846, Verdict: munin.Filling,
			Full10: date("2027-05-01"), Full50: date("2028-07-08"), Chance30: 0, GrowthPerDay: 2100, Days: 90,
		},
		{
			ID:    id("a.very.long.host.name.in.some.datacentre.example.org", "df_inode", "_dev_mapper_vg0_srv"),
			Title: "Inode usage in percent", Label: "/srv/a/rather/long/mount/point", Unit: "%", Base: 1000, Used: 40, Ceiling: 100,
			Verdict: munin.MayFill, Full10: date("2027-08-01"), Chance30: 0, GrowthPerDay: .01, Days: 60,
		},
		{
			ID: id("web;www2.example.com", "df", "_dev_sda1"), Title: "Disk usage in percent", Label: "/", Unit: "%", Base: 1000,
			Used: 55, Ceiling: 100, Verdict: munin.NotInSight, Chance30: 0, GrowthPerDay: -.02, Days: 400,
		},
		{
			ID: id("web;new.example.com", "df", "_dev_sda1"), Title: "Disk usage in percent", Label: "=cmd|' /C calc'!A0 <b>", Unit: "%",
			Base: 1000, Used: math.NaN(), Ceiling: 100, Verdict: munin.TooLittleData, GrowthPerDay: math.NaN(), Days: 1,
			Note: "1 day with data; a forecast needs 21 days and can be there from 2026-12-11 on",
		},
	}
}

func sample() munin.Report {
	return munin.Report{
		Name: "capacity", At: time.Date(2026, 11, 21, 6, 30, 0, 0, time.UTC), Horizon: 730 * 24 * time.Hour, Findings: findings(),
	}
}

func write(t *testing.T, r munin.Report, format string) []byte {
	t.Helper()
	var out bytes.Buffer
	if err := report.Write(&out, r, format); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func TestEveryFormatIsAsExpected(t *testing.T) {
	for _, format := range report.Formats() {
		got := write(t, sample(), format)
		name := filepath.Join("testdata", "capacity."+format)
		if *update {
			if err := os.WriteFile(name, got, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s differs from %s:\n%s", format, name, got)
		}
	}
}

func TestTheTextFitsIntoAHundredColumns(t *testing.T) {
	for line := range strings.Lines(string(write(t, sample(), "text"))) {
		if n := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); n > 100 {
			t.Errorf("%d columns: %s", n, line)
		}
	}
}

func TestSentencesSayWhenAndHowSure(t *testing.T) {
	want := []string{
		"full now; steady",
		"full by 2026-12-15 (between 12-01 and 2027-02-20); 64 % within 30 days; +0.31 % a day",
		"full by 2027-03-12 (between 02-20 and 04-30); under 1 % within 30 days; +204.8 MiB a day",
		"full by 2028-07-08 (2027-05-01 at the earliest, perhaps not within 2 years); under 1 % within 30 days; +2.1 k a day",
		"may fill: from 2027-08-01 at the earliest; under 1 % within 30 days; +0.01 % a day",
		"not within 2 years; under 1 % within 30 days; -0.02 % a day",
		"not enough history; 1 day with data; a forecast needs 21 days and can be there from 2026-12-11 on",
	}
	rows := report.Rows(sample())
	for i, row := range rows {
		if row.Sentence != want[i] {
			t.Errorf("row %d says %q\n    want %q", i, row.Sentence, want[i])
		}
	}
	if r := rows[2]; r.Used != "41.2 GiB" || r.Ceiling != "64 GiB" || r.Share != "64 %" || r.What != "db1.example.com: Memory usage, apps" {
		t.Errorf("the row of the memory is %+v", r)
	}
	if r := rows[6]; r.Used != "unknown" || r.Share != "" || r.When != "" || r.Chance != "" || r.Growth != "" || r.Basis != "1 day" {
		t.Errorf("the row without history is %+v", r)
	}
}

func TestAnUnknownFormatIsRefusedWithTheKnownOnes(t *testing.T) {
	err := report.Write(&bytes.Buffer{}, sample(), "xml")
	if err == nil || !strings.Contains(err.Error(), `"xml": want one of text, csv, json, html`) {
		t.Errorf("the error is %v", err)
	}
}

func TestProgramsReadNullForWhatIsUnknown(t *testing.T) {
	var got struct {
		HorizonDays int `json:"horizon_days"`
		Findings    []map[string]any
	}
	if err := json.Unmarshal(write(t, sample(), "json"), &got); err != nil {
		t.Fatal(err)
	}
	if got.HorizonDays != 730 || len(got.Findings) != 7 {
		t.Fatalf("%d days, %d findings", got.HorizonDays, len(got.Findings))
	}
	for _, key := range []string{"used", "full_10", "full_50", "full_90", "chance_30_days", "growth_per_day"} {
		if v, ok := got.Findings[6][key]; !ok || v != nil {
			t.Errorf("without history %s is %v", key, v)
		}
	}
	if f := got.Findings[1]; f["full_50"] != "2026-12-15" || f["chance_30_days"] != .64 || f["host"] != "web;www1.example.com" {
		t.Errorf("the disk is %v", f)
	}
	rows, err := csv.NewReader(bytes.NewReader(write(t, sample(), "csv"))).ReadAll()
	if err != nil || len(rows) != 8 {
		t.Fatalf("%d rows, %v", len(rows), err)
	}
	column := func(name string) int { return slices.Index(rows[0], name) }
	if last := rows[7]; last[column("used")] != "" || last[column("full_50")] != "" || !strings.HasPrefix(last[column("label")], "'=cmd") {
		t.Errorf("the row without history is %q", last)
	}
}

func TestAnEmptyReportSaysSo(t *testing.T) {
	r := sample()
	r.Findings = nil
	for _, format := range report.Formats() {
		out := string(write(t, r, format))
		switch format {
		case "json":
			if !strings.Contains(out, `"findings": []`) {
				t.Errorf("json: %s", out)
			}
		case "text", "html":
			if !strings.Contains(out, "nothing with a ceiling was found") {
				t.Errorf("%s: %s", format, out)
			}
		}
	}
}

type brokenWriter struct{}

var errBroken = errors.New("broken pipe")

func (brokenWriter) Write([]byte) (int, error) { return 0, errBroken }

func TestAWriterThatFailsIsReported(t *testing.T) {
	for _, format := range report.Formats() {
		if err := report.Write(brokenWriter{}, sample(), format); !errors.Is(err, errBroken) {
			t.Errorf("%s: %v", format, err)
		}
	}
}
