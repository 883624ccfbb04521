package ui_test

import (
	"net/http"
	"os"
	"testing"
	"time"

	"corbie/ui"
	"corbie/ui/uitest"
)

// TestServeForLooking serves the made-up fleet for people and browsers to look at:
//
//	CORBIE_UI_LISTEN=127.0.0.1:8099 go test ./ui -run TestServeForLooking -timeout 0
func TestServeForLooking(t *testing.T) {
	address := os.Getenv("CORBIE_UI_LISTEN")
	if address == "" {
		t.Skip("CORBIE_UI_LISTEN is not set: nobody wants to look")
	}
	server := &http.Server{Addr: address, Handler: newServer(t, uitest.New(time.Now())), ReadHeaderTimeout: time.Second}
	t.Log(server.ListenAndServe())
}

func newServer(tb testing.TB, f *uitest.Fleet) *ui.Server {
	tb.Helper()
	s, err := ui.New(ui.Options{
		Catalog: f, Samples: f, States: f, Reports: f, Faults: f, Acks: f, Notes: f, Index: f, Views: f, Tags: f.Tags, Facts: f.Facts, Location: time.UTC, Version: "0.1-test",
	})
	if err != nil {
		tb.Fatal(err)
	}
	return s
}
