package route

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/prometheus/alertmanager/eventrecorder"
	"github.com/prometheus/alertmanager/silence"
	"github.com/prometheus/client_golang/prometheus"
)

// Verify reads the notification log and the silences in a folder, also beside a running master, and says what is wrong with them. A folder that is not there
// is right.
func Verify(dir string) error { return errors.Join(verifyJournal(dir), verifySilences(dir)) }

func verifyJournal(dir string) error {
	data, err := os.ReadFile(filepath.Join(dir, "nflog"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("the notification log: %w", err)
	}
	whole := wholeEntries(data)
	if whole == len(data) {
		return nil
	}
	// What a master was just writing is whole by now, or the file is another one.
	again, err := os.ReadFile(filepath.Join(dir, "nflog"))
	if err != nil {
		return fmt.Errorf("the notification log: %w", err)
	}
	if wholeEntries(again) == len(again) {
		return nil
	}
	return fmt.Errorf("the notification log: what follows byte %d of %d is no notice: the next start uses it up to there, and notices may be told twice",
		whole, len(data))
}

func verifySilences(dir string) error {
	data, err := os.ReadFile(filepath.Join(dir, "silences"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		_, err = silence.New(silence.Options{
			SnapshotReader: bytes.NewReader(data), Retention: silenceRetention, Logger: slog.New(slog.DiscardHandler),
			Metrics: prometheus.NewRegistry(), EventRecorder: eventrecorder.NopRecorder(),
		})
	}
	if err != nil {
		return fmt.Errorf("the silences: %w", err)
	}
	return nil
}
