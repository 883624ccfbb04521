package storage

import (
	"encoding/json"
	"time"

	"corbie/munin"
)

// Marks are what retention/trimmed.json says.
type Marks struct {
	Before, Hours map[munin.HostID]int64
	Unfinished    bool
}

// ParseMarks understands its text.
func ParseMarks(text []byte, now time.Time) (Marks, int, error) {
	m, dropped, err := parseMarks(text, now)
	if err != nil {
		return Marks{}, dropped, err
	}
	return Marks{m.Before, m.Hours, m.Unfinished}, dropped, nil
}

// Text is what is written for it.
func (m Marks) Text() ([]byte, error) {
	return json.Marshal(&marks{Before: m.Before, Hours: m.Hours, Unfinished: m.Unfinished})
}

// SetMost changes how many samples one query reads.
func (e *Elsewhere) SetMost(samples int) { e.most = samples }
