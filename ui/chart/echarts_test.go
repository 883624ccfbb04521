package chart_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"corbie/munin"
	"corbie/ui/chart"
)

func indented(t *testing.T, v any) []byte {
	t.Helper()
	compact, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := json.Indent(&b, compact, "", " "); err != nil {
		t.Fatal(err)
	}
	return append(b.Bytes(), '\n')
}

func TestTheBrowserGetsTheSamePicture(t *testing.T) {
	all := pictures(t)
	for _, name := range []string{"line", "stack", "negative", "levels", "band", "base1024", "log", "empty"} {
		golden(t, name+".json", indented(t, all[name].Live(chart.Picture{Width: 900, Height: 340})))
	}
}

func TestHostileLabelsStayTextOnTheirWayToTheBrowser(t *testing.T) {
	label := `__f__alert(document.domain)__f__</script><script>alert(1)</script>`
	m := model(t, "graph_title "+label+"\na.label "+label+"\na.warning 5\n", series("a", 1, 2))
	body, err := json.Marshal(m.Live(chart.Picture{Width: 900, Height: 340}))
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(body, []byte("<script")) {
		t.Error("markup is not escaped")
	}
	var back struct {
		Title  string `json:"title"`
		Option struct {
			Series []struct {
				Name string `json:"name"`
			} `json:"series"`
		} `json:"option"`
	}
	if err := json.Unmarshal(body, &back); err != nil {
		t.Fatal(err)
	}
	if back.Title != label || back.Option.Series[0].Name != label {
		t.Errorf("the label came back as %q and %q", back.Title, back.Option.Series[0].Name)
	}
}

func TestValuesTravelRoundedAndUnknownAsNull(t *testing.T) {
	body, err := json.Marshal(chart.Column{1.0 / 3, unknown, 123456789, 0, -0.000000123456, 1e21})
	if err != nil {
		t.Fatal(err)
	}
	if got := string(body); got != "[0.33333,null,123460000,0,-1.2346e-07,1e+21]" {
		t.Errorf("got %s", got)
	}
}

func TestTheBrowserLearnsWhenClocksChange(t *testing.T) {
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Skip("no time zone data: ", err)
	}
	r := munin.Range{From: time.Date(2026, 3, 28, 0, 0, 0, 0, berlin), To: time.Date(2026, 3, 30, 0, 0, 0, 0, berlin)}
	m := chart.New(chart.Request{Graph: parse(t, "graph_title t\na.label a\n"), Range: r, Location: berlin, Now: r.To})
	zones := m.Live(chart.Picture{}).Zones
	if len(zones) != 2 || zones[0].Offset != 3600 || zones[1].Offset != 7200 || zones[0].Until != time.Date(2026, 3, 29, 1, 0, 0, 0, time.UTC).UnixMilli() {
		t.Errorf("zones are %+v", zones)
	}
}

func TestOnlyOurOwnTokensNameFunctions(t *testing.T) {
	body := string(indented(t, pictures(t)["levels"].Live(chart.Picture{Width: 900, Height: 340}).Option))
	for line := range strings.Lines(body) {
		if strings.Contains(line, `"formatter"`) && !strings.Contains(line, `"@x"`) && !strings.Contains(line, `"@y"`) &&
			!strings.Contains(line, `"@tooltip"`) && !strings.Contains(line, `"{b}"`) {
			t.Errorf("a formatter that is no token: %s", line)
		}
	}
}
