package report

import (
	"bytes"
	_ "embed"
	"fmt"
	"html/template"
)

//go:embed page.html
var pageSource string

var pageTemplate = template.Must(template.New("page").Parse(pageSource))

// render makes the page. All that it shows is in it.
func render(sections []*section) ([]byte, error) {
	var b bytes.Buffer
	if err := pageTemplate.Execute(&b, sections); err != nil {
		return nil, fmt.Errorf("render the page: %w", err)
	}
	return b.Bytes(), nil
}
