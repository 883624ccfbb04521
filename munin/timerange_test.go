package munin_test

import (
	"strings"
	"testing"
	"time"

	"corbie/munin"
)

func moment() time.Time {
	return time.Date(2026, 11, 21, 15, 4, 5, 0, time.FixedZone("EET", 2*3600))
}

func TestATimeIsReadInEveryFormThatPagesUse(t *testing.T) {
	f := func(text, want string) {
		t.Helper()
		got, err := munin.ParseTime(text, moment())
		if err != nil || got.Format(time.RFC3339) != want {
			t.Errorf("ParseTime(%q) is %s, %v; want %s", text, got.Format(time.RFC3339), err, want)
		}
	}
	f("now", "2026-11-21T15:04:05+02:00")
	f(" now-24h ", "2026-11-20T15:04:05+02:00")
	f("now-7d", "2026-11-14T15:04:05+02:00")
	f("now-1y", "2025-11-21T15:04:05+02:00")
	f("now+90m", "2026-11-21T16:34:05+02:00")
	f("now-300", "2026-11-21T14:59:05+02:00")
	f("0", "1970-01-01T02:00:00+02:00")
	f("1800000000", "2027-01-15T10:00:00+02:00")
	f("2026-11-01", "2026-11-01T00:00:00+02:00")
	f("2026-11-01 12:30", "2026-11-01T12:30:00+02:00")
	f("2026-11-01T12:30", "2026-11-01T12:30:00+02:00")
	f("2026-11-01T12:30:45", "2026-11-01T12:30:45+02:00")
	f("2026-11-01T12:30:45Z", "2026-11-01T12:30:45Z")
	f("2026-11-01T12:30:45-05:00", "2026-11-01T12:30:45-05:00")
}

func TestABadTimeIsRefusedWithAnExample(t *testing.T) {
	for _, text := range []string{
		"", "yesterday", "now-", "now--24h", "now-+24h", "now24h", "now - 1d x", "-5", "99999999999999", "2026-13-01", "2026-11-31",
		"now-200y", "1e9", "0x10", strings.Repeat("9", 1000),
	} {
		if got, err := munin.ParseTime(text, moment()); err == nil {
			t.Errorf("ParseTime(%.40q) is %s", text, got)
		} else if !strings.Contains(err.Error(), "now-24h") || len(err.Error()) > 300 {
			t.Errorf("ParseTime(%.40q) says %v", text, err)
		}
	}
}

func TestARangeHasDefaultsAndIsNeverBackwardsOrEndless(t *testing.T) {
	r, err := munin.ParseRange("", "", moment())
	if err != nil || !r.To.Equal(moment()) || r.Duration() != 24*time.Hour {
		t.Errorf("the default range is %v, %v", r, err)
	}
	r, err = munin.ParseRange("", "2026-01-02", moment())
	if err != nil || r.From.Format(time.DateOnly) != "2026-01-01" {
		t.Errorf("a range with an end only is %v, %v", r, err)
	}
	for _, bad := range [][2]string{
		{"now", "now"}, {"now", "now-1h"}, {"2026-01-02", "2026-01-01"}, {"0001-01-01", ""}, {"1800-01-01", ""}, {"x", ""}, {"", "x"},
	} {
		if r, err := munin.ParseRange(bad[0], bad[1], moment()); err == nil {
			t.Errorf("ParseRange(%q, %q) is %v", bad[0], bad[1], r)
		}
	}
}

func TestADurationHasUnitsFromSecondsToYears(t *testing.T) {
	const day = 24 * time.Hour
	for text, want := range map[string]time.Duration{
		"0": 0, "300": 5 * time.Minute, "1.5": 1500 * time.Millisecond, "90s": 90 * time.Second, "5m": 5 * time.Minute, "1h30m": 90 * time.Minute,
		"1d": day, "2w": 14 * day, "1y": 365 * day, ".5d": 12 * time.Hour, " 3d ": 3 * day, "100ms": 100 * time.Millisecond,
	} {
		if got, err := munin.ParseDuration(text); err != nil || got != want {
			t.Errorf("ParseDuration(%q) is %s, %v; want %s", text, got, err, want)
		}
	}
	for _, text := range []string{"", "d", "-1d", "+1d", "+5m", "-5m", "5 m", "1dd", "nan", "inf", "infy", "1e300y", "200y", "0x1p4", "1_0", "1d2h"} {
		if got, err := munin.ParseDuration(text); err == nil {
			t.Errorf("ParseDuration(%q) is %s", text, got)
		}
	}
}

func TestADurationIsWrittenInTwoUnitsAtMost(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0 s", 999 * time.Millisecond: "0 s", 12 * time.Second: "12 s", 3*time.Hour + 20*time.Minute + 5*time.Second: "3 h 20 min",
		4 * 24 * time.Hour: "4 d", 400 * 24 * time.Hour: "1 y 35 d", -time.Minute: "1 min", time.Hour + time.Second: "1 h",
	} {
		if got := munin.FormatDuration(d); got != want {
			t.Errorf("%s is written %q, want %q", d, got, want)
		}
	}
}

func FuzzATimeOrDurationNeverPanicsAndKeepsItsLimits(f *testing.F) {
	for _, seed := range []string{"now-24h", "now", "now+", "2026-11-21", "1800000000", "2026-11-21T10:00:00Z", "5m", "1y", "1e5", "-0", "now-1w"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if d, err := munin.ParseDuration(text); err == nil && (d < 0 || d > munin.MaxRange) {
			t.Errorf("ParseDuration(%q) is %s", text, d)
		}
		r, err := munin.ParseRange(text, "", moment())
		if err == nil && (r.Duration() <= 0 || r.Duration() > munin.MaxRange) {
			t.Errorf("ParseRange(%q) is %v", text, r)
		}
	})
}
