import { render } from "preact";
import { App } from "./app";
import { Sharing } from "./state";
import "./theme.css";

render(
  <Sharing>
    <App />
  </Sharing>,
  document.getElementById("app")!,
);
