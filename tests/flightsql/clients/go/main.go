// A client of Flight SQL on Arrow's Go library: `client ADDRESS TASK [ARGUMENT]...` carries out one task and prints
// its result as JSON, or `{"error": message}`. Queries go through the driver for database/sql, the rest through the
// library's own client. HEDDLE_TOKEN is sent as a bearer token, HEDDLE_LOGIN as `name:password` with a query.
package main

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/flight"
	"github.com/apache/arrow-go/v18/arrow/flight/flightsql"
	_ "github.com/apache/arrow-go/v18/arrow/flight/flightsql/driver"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
)

const patience = 60 * time.Second

type row []any

func main() {
	result, err := carryOut(os.Args[1], os.Args[2], os.Args[3:])
	if err != nil {
		result = map[string]string{"error": err.Error()}
	}
	if err := json.NewEncoder(os.Stdout).Encode(result); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func carryOut(address, task string, arguments []string) (any, error) {
	ctx, stop := context.WithTimeout(context.Background(), patience)
	defer stop()
	token := os.Getenv("HEDDLE_TOKEN")
	if task == "query" {
		return query(ctx, address, token, arguments[0], arguments[1:])
	}
	if token != "" {
		ctx = metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+token)
	}
	client, err := flightsql.NewClient(address, nil, nil, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return nil, err
	}
	defer client.Close()
	switch task {
	case "metadata":
		return describe(ctx, client, arguments[0])
	case "cancel":
		return cancel(ctx, client, arguments[0])
	case "poll":
		return poll(ctx, client, arguments[0])
	case "ingest":
		return ingest(ctx, client, arguments[0], arguments[1])
	case "transaction":
		return transaction(ctx, client, arguments[0], arguments[1])
	}
	return nil, fmt.Errorf("there is no task %q", task)
}

// query runs a statement with its parameters by database/sql; whole numbers are sent as such.
func query(ctx context.Context, address, token, text string, parameters []string) (any, error) {
	source := url.URL{Scheme: "flightsql", Host: address}
	if token != "" {
		source.RawQuery = url.Values{"token": {token}}.Encode()
	}
	if name, password, ok := strings.Cut(os.Getenv("HEDDLE_LOGIN"), ":"); ok {
		source.User = url.UserPassword(name, password)
	}
	database, err := sql.Open("flightsql", source.String())
	if err != nil {
		return nil, err
	}
	defer database.Close()
	values := make([]any, len(parameters))
	for i, text := range parameters {
		if number, err := strconv.ParseInt(text, 10, 64); err == nil {
			values[i] = number
		} else {
			values[i] = text
		}
	}
	found, err := database.QueryContext(ctx, text, values...)
	if err != nil {
		return nil, err
	}
	defer found.Close()
	columns, err := found.Columns()
	if err != nil {
		return nil, err
	}
	rows := []row{}
	for found.Next() {
		values := make(row, len(columns))
		places := make([]any, len(columns))
		for i := range values {
			places[i] = &values[i]
		}
		if err := found.Scan(places...); err != nil {
			return nil, err
		}
		rows = append(rows, values)
	}
	return map[string]any{"columns": columns, "rows": rows}, found.Err()
}

// describe gives what each metadata command answers; keys are those of one table.
func describe(ctx context.Context, client *flightsql.Client, table string) (any, error) {
	reference := flightsql.TableRef{Table: table}
	commands := map[string]func() (*flight.FlightInfo, error){
		"catalogs":      func() (*flight.FlightInfo, error) { return client.GetCatalogs(ctx) },
		"schemas":       func() (*flight.FlightInfo, error) { return client.GetDBSchemas(ctx, &flightsql.GetDBSchemasOpts{}) },
		"tables":        func() (*flight.FlightInfo, error) { return client.GetTables(ctx, &flightsql.GetTablesOpts{}) },
		"table_types":   func() (*flight.FlightInfo, error) { return client.GetTableTypes(ctx) },
		"types":         func() (*flight.FlightInfo, error) { return client.GetXdbcTypeInfo(ctx, nil) },
		"sql_info":      func() (*flight.FlightInfo, error) { return client.GetSqlInfo(ctx, nil) },
		"primary_keys":  func() (*flight.FlightInfo, error) { return client.GetPrimaryKeys(ctx, reference) },
		"imported_keys": func() (*flight.FlightInfo, error) { return client.GetImportedKeys(ctx, reference) },
		"exported_keys": func() (*flight.FlightInfo, error) { return client.GetExportedKeys(ctx, reference) },
	}
	found := map[string]any{}
	for name, command := range commands {
		info, err := command()
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		if found[name], err = read(ctx, client, info); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	return found, nil
}

// cancel starts a statement, cancels it, and tells what its stream said then.
func cancel(ctx context.Context, client *flightsql.Client, text string) (any, error) {
	info, err := client.Execute(ctx, text)
	if err != nil {
		return nil, err
	}
	answered, err := client.CancelFlightInfo(ctx, &flight.CancelFlightInfoRequest{Info: info})
	if err != nil {
		return nil, err
	}
	said := ""
	if _, err := read(ctx, client, info); err != nil {
		said = err.Error()
	}
	return map[string]any{"status": answered.GetStatus().String(), "stream": said}, nil
}

// poll asks for a statement's state until it is complete, and reads its rows.
func poll(ctx context.Context, client *flightsql.Client, text string) (any, error) {
	var descriptor *flight.FlightDescriptor
	for {
		state, err := client.ExecutePoll(ctx, text, descriptor)
		if err != nil {
			return nil, err
		}
		if descriptor = state.GetFlightDescriptor(); descriptor == nil {
			return read(ctx, client, state.GetInfo())
		}
	}
}

// ingest makes a table of so many rows.
func ingest(ctx context.Context, client *flightsql.Client, table, count string) (any, error) {
	rows, err := strconv.Atoi(count)
	if err != nil {
		return nil, err
	}
	schema := arrow.NewSchema([]arrow.Field{
		{Name: "id", Type: arrow.PrimitiveTypes.Int64},
		{Name: "name", Type: arrow.BinaryTypes.String, Nullable: true},
	}, nil)
	builder := array.NewRecordBuilder(memory.DefaultAllocator, schema)
	defer builder.Release()
	for i := range rows {
		builder.Field(0).(*array.Int64Builder).Append(int64(i))
		builder.Field(1).(*array.StringBuilder).Append(fmt.Sprint("name ", i))
	}
	batch := builder.NewRecordBatch()
	defer batch.Release()
	reader, err := array.NewRecordReader(schema, []arrow.RecordBatch{batch})
	if err != nil {
		return nil, err
	}
	defer reader.Release()
	return client.ExecuteIngest(ctx, reader, &flightsql.ExecuteIngestOpts{
		TableDefinitionOptions: &flightsql.TableDefinitionOptions{
			IfNotExist: flightsql.TableDefinitionOptionsTableNotExistOptionCreate,
			IfExists:   flightsql.TableDefinitionOptionsTableExistsOptionFail,
		},
		Table: table,
	})
}

// transaction carries out a change that it takes back, then asks a query that may tell.
func transaction(ctx context.Context, client *flightsql.Client, change, text string) (any, error) {
	begun, err := client.BeginTransaction(ctx)
	if err != nil {
		return nil, err
	}
	changed, err := begun.ExecuteUpdate(ctx, change)
	if err != nil {
		return nil, err
	}
	info, err := begun.Execute(ctx, text)
	if err != nil {
		return nil, err
	}
	inside, err := read(ctx, client, info)
	if err != nil {
		return nil, err
	}
	if err := begun.Rollback(ctx); err != nil {
		return nil, err
	}
	if info, err = client.Execute(ctx, text); err != nil {
		return nil, err
	}
	after, err := read(ctx, client, info)
	if err != nil {
		return nil, err
	}
	return map[string]any{"changed": changed, "inside": inside, "after": after}, nil
}

// read gives all rows of all endpoints, each value as JSON.
func read(ctx context.Context, client *flightsql.Client, info *flight.FlightInfo) ([]map[string]any, error) {
	rows := []map[string]any{}
	for _, endpoint := range info.GetEndpoint() {
		reader, err := client.DoGet(ctx, endpoint.GetTicket())
		if err != nil {
			return nil, err
		}
		for reader.Next() {
			batch := reader.RecordBatch()
			text, err := json.Marshal(array.RecordToStructArray(batch))
			if err != nil {
				reader.Release()
				return nil, err
			}
			var part []map[string]any
			numbers := json.NewDecoder(bytes.NewReader(text))
			numbers.UseNumber() // a float64 would not hold every int64
			if err := numbers.Decode(&part); err != nil {
				reader.Release()
				return nil, err
			}
			rows = append(rows, part...)
		}
		err = reader.Err()
		reader.Release()
		if err != nil {
			return nil, err
		}
	}
	return rows, nil
}
