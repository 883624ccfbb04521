package munin_test

import (
	"strings"
	"testing"

	"corbie/munin"
)

func messageScope() munin.Scope {
	return munin.Scope{
		Vars: map[string]string{"host": "www1", "wfields": "a b gone", "numwfields": "2", "numcfields": "0", "cfields": "", "price": "$5"},
		Within: map[string]munin.Scope{
			"a": {Vars: map[string]string{"label": "Alpha", "value": "1.00", "extinfo": "see {wiki}"}},
			"b": {Vars: map[string]string{"label": "Beta", "value": "${var:host}"}},
		},
	}
}

func TestAMessageIsFilledIn(t *testing.T) {
	for template, want := range map[string]string{
		"":                       "",
		"plain $ and $5 and {x}": "plain $ and $5 and {x}",
		"${var:host}!":           "www1!",
		"[${var:nothing}]":       "[]",
		"${loop<,>:wfields ${var:label}=${var:value}}":                                    "Alpha=1.00,Beta=${var:host}",
		"${loop:wfields ${var:label} on ${var:host};}":                                    "Alpha on www1;Beta on www1;",
		"${loop<, >:cfields x}":                                                           "",
		"${if:cfields C}${if:!cfields no C}":                                              "no C",
		"${if:numcfields C}${if:numwfields W}":                                            "W",
		"${strtrunc:3 ${var:host}x}":                                                      "www",
		"${strtrunc:30 é${var:host}}":                                                     "éwww1",
		"${if:wfields W:${loop<,>:wfields  ${var:label}${if:extinfo : ${var:extinfo}}}.}": "W: Alpha: see {wiki}, Beta.",
		"${var:price}${var:host}":                                                         "$5www1",
		"a\\n${var:host}":                                                                 "a\\nwww1",
	} {
		m, err := munin.ParseMessage(template)
		if err != nil {
			t.Errorf("%s: %v", template, err)
			continue
		}
		if got := m.Expand(messageScope()); got != want {
			t.Errorf("%s\ngot  %q\nwant %q", template, got, want)
		}
	}
}

func TestABrokenMessageIsNamed(t *testing.T) {
	for _, template := range []string{
		"${var:host", "${}", "${host}", "${var:}", "${var:a b}", "${if:x}", "${loop<,:x y}", "${loop:x}", "${strtrunc:x y}", "${strtrunc:-1 y}",
		"${loop<,>:wfields ${var:label}", strings.Repeat("${if:a ", 30) + strings.Repeat("}", 30), strings.Repeat("x", 70000),
	} {
		if _, err := munin.ParseMessage(template); err == nil {
			t.Errorf("%.50s is accepted", template)
		}
	}
}

func TestAMessageSaysWhatItDependsOn(t *testing.T) {
	for template, want := range map[string][2]bool{
		"": {true, false}, "x": {true, false}, "x${var:host}": {false, false}, "${var:host}x": {false, true},
	} {
		m, err := munin.ParseMessage(template)
		if err != nil || m.Constant() != want[0] || m.BeginsWithValue() != want[1] {
			t.Errorf("%q: constant %t, begins with a value %t, %v", template, m.Constant(), m.BeginsWithValue(), err)
		}
	}
}

func FuzzParseMessage(f *testing.F) {
	for _, template := range []string{"${var:host}", "${loop<,>:wfields ${var:label}}", "${if:!x ${strtrunc:3 y}}", "$ ${ {} }", "${loop:wfields ${loop:wfields ${loop:wfields x}}}"} {
		f.Add(template)
	}
	f.Fuzz(func(t *testing.T, template string) {
		m, err := munin.ParseMessage(template)
		if err != nil {
			return
		}
		got := m.Expand(messageScope())
		if !strings.Contains(template, "${") && got != template {
			t.Errorf("%q became %q", template, got)
		}
	})
}
