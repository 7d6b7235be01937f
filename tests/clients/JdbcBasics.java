import java.sql.Connection;
import java.sql.DatabaseMetaData;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.sql.Timestamp;

/** What a JDBC program does first: parameters, batches, binary after five runs, metadata, transactions, errors. */
public class JdbcBasics {
    public static void main(String[] arguments) throws SQLException {
        String url = "jdbc:postgresql://127.0.0.1:" + arguments[0] + "/lake";
        try (Connection connection = DriverManager.getConnection(url, "admin", arguments[1])) {
            try (Statement statement = connection.createStatement()) {
                statement.execute("CREATE TABLE jdbc (n BIGINT, name TEXT, v DOUBLE, at TIMESTAMP)");
            }
            try (PreparedStatement insert = connection.prepareStatement("INSERT INTO jdbc VALUES (?, ?, ?, ?)")) {
                for (int n = 0; n < 20; n++) {
                    insert.setLong(1, n);
                    insert.setString(2, "row " + n);
                    insert.setDouble(3, n / 2.0);
                    insert.setTimestamp(4, Timestamp.valueOf("2024-02-29 01:02:03.5"));
                    insert.addBatch();
                }
                check(insert.executeBatch().length == 20, "a batch of 20");
            }
            try (PreparedStatement select = connection.prepareStatement("SELECT name, v, at FROM jdbc WHERE n = ?")) {
                for (int n = 0; n < 10; n++) {
                    select.setLong(1, n);
                    try (ResultSet rows = select.executeQuery()) {
                        check(rows.next(), "a row");
                        check(rows.getString(1).equals("row " + n), "the name");
                        check(rows.getDouble(2) == n / 2.0, "the value");
                        check(rows.getTimestamp(3).equals(Timestamp.valueOf("2024-02-29 01:02:03.5")), "the time");
                        check(!rows.next(), "one row");
                    }
                }
            }
            DatabaseMetaData metadata = connection.getMetaData();
            try (ResultSet tables = metadata.getTables(null, "default", "jdbc", new String[] {"TABLE"})) {
                check(tables.next() && tables.getString("TABLE_NAME").equals("jdbc"), "the table is listed");
            }
            try (ResultSet columns = metadata.getColumns(null, "default", "jdbc", null)) {
                int count = 0;
                while (columns.next()) {
                    count++;
                }
                check(count == 4, "four columns");
            }
            connection.setAutoCommit(false);
            try (Statement statement = connection.createStatement()) {
                statement.executeUpdate("INSERT INTO jdbc (n) VALUES (100)");
            }
            connection.rollback();
            connection.setAutoCommit(true);
            try (Statement statement = connection.createStatement();
                    ResultSet rows = statement.executeQuery("SELECT count(*) FROM jdbc")) {
                check(rows.next() && rows.getLong(1) == 20, "rolled back");
            }
            try (Statement statement = connection.createStatement()) {
                statement.executeQuery("SELECT * FROM missing");
                check(false, "a missing table is an error");
            } catch (SQLException error) {
                check(error.getSQLState().equals("42P01"), error.getSQLState());
            }
        }
    }

    private static void check(boolean holds, String what) {
        if (!holds) {
            throw new AssertionError(what);
        }
    }
}
