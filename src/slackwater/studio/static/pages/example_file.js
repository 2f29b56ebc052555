// @ts-check
/** A small input file for somebody who has none: five questions to a deployment that is there. */
import { call } from "../app/api.js";
import { healthiest } from "./create_deployment.js";

const QUESTIONS = [
  "Why is the sea salty?",
  "What makes the tides?",
  "How does a lighthouse lens work?",
  "Who wrote Moby-Dick?",
  "What is a knot, in miles per hour?",
];

/** @returns {Promise<{blob: Blob, name: string}>} */
export async function exampleFile() {
  const { data } = await call("/deployment_status");
  const deployment = healthiest(data)[0] ?? data[0];
  if (!deployment) throw new Error("There is no deployment to ask. An administrator makes one on the page Deployments, or in the configuration.");
  const lines = QUESTIONS.map((question, index) => {
    const messages = [
      { role: "system", content: "Answer in one sentence." },
      { role: "user", content: question },
    ];
    return JSON.stringify({ custom_id: `question-${index + 1}`, method: "POST", url: "/v1/chat/completions", body: { model: deployment.name, messages } });
  });
  return { blob: new Blob([`${lines.join("\n")}\n`], { type: "application/jsonl" }), name: "example.jsonl" };
}
