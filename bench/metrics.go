package bench

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Bounds of reading a node's metrics.
const (
	maxPageBytes = 8 << 20
	pageTimeout  = 5 * time.Second
)

// Scrape reads one page of Prometheus text, and returns the value of each of the
// names. A name that is not there is an error.
func Scrape(ctx context.Context, client *http.Client, url string, names ...string) ([]float64, error) {
	ctx, cancel := context.WithTimeout(ctx, pageTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return nil, err
	}
	resp, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	page, err := io.ReadAll(io.LimitReader(resp.Body, maxPageBytes))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", url, err)
	}
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: %s", url, resp.Status)
	}
	values := make([]float64, len(names))
	for i, name := range names {
		if values[i], err = metric(string(page), name); err != nil {
			return nil, fmt.Errorf("%s: %w", url, err)
		}
	}
	return values, nil
}

// metric returns the value of a metric without labels.
func metric(page, name string) (float64, error) {
	for line := range strings.Lines(page) {
		if value, ok := strings.CutPrefix(line, name+" "); ok {
			return strconv.ParseFloat(strings.TrimSpace(value), 64)
		}
	}
	return 0, fmt.Errorf("there is no metric %s", name)
}
