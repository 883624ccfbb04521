package storage_test

import (
	"testing"

	"corbie/storage"
	"corbie/storage/storagetest"
)

func open(t testing.TB, dir string) *storage.Samples {
	t.Helper()
	s, err := storage.Open(dir, storage.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func TestSamplesKeepWhatAStoreMustKeep(t *testing.T) {
	storagetest.Run(t, func(t *testing.T) storagetest.Store { return open(t, t.TempDir()) })
}
