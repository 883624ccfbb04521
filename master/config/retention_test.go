package config_test

import (
	"strings"
	"testing"
	"time"

	"corbie/master/config"
)

func TestRetentionOfEachTier(t *testing.T) {
	const day = 24 * time.Hour
	for text, want := range map[string]config.Retention{
		"":                                      {Raw: 400 * day, Hour: 5 * 365 * day},
		"retention: 30d":                        {Raw: 30 * day, Hour: 5 * 365 * day},
		"retention: 10y":                        {Raw: 3650 * day, Hour: 3650 * day},
		"retention: forever":                    {},
		"retention_hour: 2y":                    {Raw: 400 * day, Hour: 730 * day},
		"retention_hour: 2y\nretention_day: 2y": {Raw: 400 * day, Hour: 730 * day, Day: 730 * day},
		"retention_size: 1.5T":                  {Raw: 400 * day, Hour: 5 * 365 * day, Bytes: 3 << 39},
		"retention_size: 500 MiB":               {Raw: 400 * day, Hour: 5 * 365 * day, Bytes: 500 << 20},
		"retention_size: none":                  {Raw: 400 * day, Hour: 5 * 365 * day},
	} {
		if got := parse(t, text).Retention; got != want {
			t.Errorf("%q gives %+v, want %+v", text, got, want)
		}
	}
}

func TestWrongRetentionIsExplained(t *testing.T) {
	for text, want := range map[string]string{
		"retention_hour: 10d":                        "retention_hour is shorter than retention",
		"retention: forever\nretention_hour: 5y":     "retention_hour is shorter than retention",
		"retention_hour: forever\nretention_day: 9y": "retention_day is shorter than retention_hour",
		"retention_day: 1h":                          "1h: want 1 d to",
		"retention_size: B":                          "want a size from 100M",
		"retention_size: 12M":                        "want a size from 100M",
		"retention_size: nan":                        "want a size from 100M",
		"retention_size: -5T":                        "want a size from 100M",
		"retention_size: 5000000T":                   "want a size from 100M",
	} {
		if got := parseError(t, text); !strings.Contains(got, want) {
			t.Errorf("%q gives %q, want %q", text, got, want)
		}
	}
}
