package report

import (
	"bufio"
	"cmp"
	_ "embed"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"html/template"
	"io"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"corbie/munin"
)

// Formats are the names that Write knows.
func Formats() []string { return []string{"text", "csv", "json", "html"} }

// Write writes a capacity report in one of Formats. An error of w comes back as it is.
func Write(w io.Writer, r munin.Report, format string) error {
	switch format {
	case "text":
		return writeText(w, r)
	case "csv":
		return writeCSV(w, r)
	case "json":
		return writeJSON(w, r)
	case "html":
		return writeHTML(w, r)
	}
	return fmt.Errorf("report format %q: want one of %s", format, strings.Join(Formats(), ", "))
}

// Summary counts the findings by verdict: "1 full, 2 filling, 5 not within horizon".
func Summary(r munin.Report) string {
	counts := make(map[munin.Verdict]int)
	for i := range r.Findings {
		counts[r.Findings[i].Verdict]++
	}
	var parts []string
	for _, v := range []munin.Verdict{munin.Full, munin.Filling, munin.MayFill, munin.NotInSight, munin.TooLittleData} {
		if n := counts[v]; n > 0 {
			parts = append(parts, strconv.Itoa(n)+" "+string(v))
		}
	}
	if len(parts) == 0 {
		return "nothing with a ceiling was found"
	}
	return strings.Join(parts, ", ")
}

// textWidth is how wide a line of the text form is at most. The first column of the table is cut for it.
const textWidth = 100

func writeText(w io.Writer, r munin.Report) error {
	out := bufio.NewWriter(w)
	fmt.Fprintf(out, "Capacity on %s, %s ahead\n%s\n", r.At.Format("2006-01-02 15:04"), horizon(r.Horizon), Summary(r))
	table := [][]string{{"WHAT", "USED", "30 DAYS", "FULL", "A DAY"}}
	var notes, without []Row
	for i, row := range Rows(r) {
		if row.Verdict == munin.TooLittleData {
			without = append(without, row)
			continue
		}
		if row.Note != "" {
			notes = append(notes, row)
		}
		table = append(table, []string{
			shortWhat(row.ID, r.Findings[i].Label), cmp.Or(row.Share, row.Used), shortChance(row.Chance), shortWhen(row.When),
			strings.TrimSuffix(row.Growth, " a day"),
		})
	}
	if len(table) > 1 {
		fmt.Fprintln(out)
		writeTable(out, table)
	}
	for _, section := range []struct {
		title string
		rows  []Row
	}{{"Not enough history", without}, {"Notes", notes}} {
		if len(section.rows) > 0 {
			fmt.Fprintf(out, "\n%s\n", section.title)
		}
		for _, row := range section.rows {
			writeWrapped(out, row.What+": "+row.Note)
		}
	}
	return out.Flush()
}

// shortWhat names a field as an administrator would type it: host, graph, label.
func shortWhat(id munin.SeriesID, label string) string {
	return id.Host.Name() + " " + id.Graph + " " + cmp.Or(label, id.Field)
}

func shortChance(chance string) string {
	return strings.NewReplacer("under ", "<", "over ", ">").Replace(chance)
}

// shortWhen fits the words of a date into a table.
func shortWhen(when string) string {
	when = strings.Replace(when, "(between ", "(", 1)
	when = strings.Replace(when, " and ", " to ", 1)
	if cut, _, ok := strings.Cut(when, " at the earliest, perhaps"); ok {
		return cut + " or later)"
	}
	return strings.TrimSuffix(when, " at the earliest")
}

func writeTable(out *bufio.Writer, table [][]string) {
	widths := make([]int, len(table[0]))
	for _, line := range table {
		for i, cell := range line {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	rest := textWidth
	for _, width := range widths[1:] {
		rest -= width + 2
	}
	widths[0] = min(widths[0], max(rest, 20))
	for _, line := range table {
		text := ""
		for i, cell := range line {
			cell = shorten(cell, widths[i])
			gap := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell))
			switch i {
			case 0, 3: // words stand to the left, numbers to the right
				text += cell + gap + "  "
			default:
				text += gap + cell + "  "
			}
		}
		fmt.Fprintln(out, strings.TrimRight(text, " "))
	}
}

// shorten cuts the middle out of a text that is too long, since hosts differ at the front and fields at the end.
func shorten(text string, width int) string {
	runes := []rune(text)
	if len(runes) <= width {
		return text
	}
	head := (width - 1) / 2
	return string(runes[:head]) + "…" + string(runes[len(runes)-(width-1-head):])
}

func writeWrapped(out *bufio.Writer, text string) {
	line := "  "
	for _, word := range strings.Fields(text) {
		if utf8.RuneCountInString(line)+1+utf8.RuneCountInString(word) > textWidth && strings.TrimSpace(line) != "" {
			fmt.Fprintln(out, line)
			line = "   "
		}
		if strings.TrimSpace(line) != "" {
			line += " "
		}
		line += word
	}
	fmt.Fprintln(out, line)
}

// finding is a munin.Finding as programs read it: NaN and zero times are null, dates are days.
type finding struct {
	Host         string        `json:"host"`
	Graph        string        `json:"graph"`
	Field        string        `json:"field"`
	Title        string        `json:"title"`
	Label        string        `json:"label"`
	Unit         string        `json:"unit"`
	Used         *float64      `json:"used"`
	Ceiling      *float64      `json:"ceiling"`
	Verdict      munin.Verdict `json:"verdict"`
	Full10       *string       `json:"full_10"`
	Full50       *string       `json:"full_50"`
	Full90       *string       `json:"full_90"`
	Chance30     *float64      `json:"chance_30_days"`
	GrowthPerDay *float64      `json:"growth_per_day"`
	Days         int           `json:"days"`
	Missing      int           `json:"days_missing"`
	Note         string        `json:"note"`
}

func newFinding(f *munin.Finding, zone *time.Location) finding {
	number := func(v float64) *float64 {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return nil
		}
		return &v
	}
	day := func(t time.Time) *string {
		if t.IsZero() {
			return nil
		}
		text := t.In(zone).Format(time.DateOnly)
		return &text
	}
	out := finding{
		Host: string(f.ID.Host), Graph: f.ID.Graph, Field: f.ID.Field, Title: f.Title, Label: f.Label, Unit: f.Unit,
		Used: number(f.Used), Ceiling: number(f.Ceiling), Verdict: f.Verdict,
		Full10: day(f.Full10), Full50: day(f.Full50), Full90: day(f.Full90),
		Chance30: number(f.Chance30), GrowthPerDay: number(f.GrowthPerDay), Days: f.Days, Missing: f.Missing, Note: f.Note,
	}
	if f.Verdict == munin.TooLittleData {
		out.Chance30, out.GrowthPerDay = nil, nil
	}
	return out
}

func writeJSON(w io.Writer, r munin.Report) error {
	out := struct {
		Name        string    `json:"name"`
		At          time.Time `json:"at"`
		HorizonDays int       `json:"horizon_days"`
		Findings    []finding `json:"findings"`
	}{Name: r.Name, At: r.At, HorizonDays: int(r.Horizon / (24 * time.Hour)), Findings: []finding{}}
	for i := range r.Findings {
		out.Findings = append(out.Findings, newFinding(&r.Findings[i], r.At.Location()))
	}
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	encoder.SetEscapeHTML(false)
	return encoder.Encode(out)
}

func writeCSV(w io.Writer, r munin.Report) error {
	out := csv.NewWriter(w)
	lines := [][]string{{
		"host", "graph", "field", "title", "label", "unit", "used", "ceiling", "verdict", "full_10", "full_50", "full_90",
		"chance_30_days", "growth_per_day", "days", "days_missing", "note",
	}}
	number := func(v *float64) string {
		if v == nil {
			return ""
		}
		return strconv.FormatFloat(*v, 'g', -1, 64)
	}
	day := func(text *string) string {
		if text == nil {
			return ""
		}
		return *text
	}
	for i := range r.Findings {
		f := newFinding(&r.Findings[i], r.At.Location())
		lines = append(lines, []string{
			f.Host, f.Graph, f.Field, text(f.Title), text(f.Label), text(f.Unit), number(f.Used), number(f.Ceiling), string(f.Verdict),
			day(f.Full10), day(f.Full50), day(f.Full90), number(f.Chance30), number(f.GrowthPerDay),
			strconv.Itoa(f.Days), strconv.Itoa(f.Missing), text(f.Note),
		})
	}
	return out.WriteAll(lines)
}

// text keeps a spreadsheet from taking a plugin's text for a formula.
func text(s string) string {
	if s != "" && strings.IndexByte("=+-@\t", s[0]) >= 0 {
		return "'" + s
	}
	return s
}

//go:embed report.html
var page string

func writeHTML(w io.Writer, r munin.Report) error {
	t, err := template.New("report").Parse(page)
	if err != nil {
		return fmt.Errorf("parse the report's template: %w", err)
	}
	return t.Execute(w, struct {
		At      string
		Ahead   string
		Summary string
		Rows    []Row
	}{r.At.Format("2006-01-02 15:04 MST"), horizon(r.Horizon), Summary(r), Rows(r)})
}
