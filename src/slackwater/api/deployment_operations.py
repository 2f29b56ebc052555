"""The operations on deployments: for administrators, on our own paths and on ARM's; and the table of regions, for everybody."""

from slackwater.api import deployments, objects
from slackwater.api.conditions import CONDITIONS
from slackwater.api.dialects import ARM, AZURE_V1, OPENAI
from slackwater.api.operation import Operation
from slackwater.core.accounts.resource import Role

TAG = "Deployments"
# `/openai/deployments` is taken: Azure's dated family has had another list there since 2022.
FAMILIES = (AZURE_V1.name, OPENAI.name, ARM.name)

DEPLOYMENT_OPERATIONS: tuple[Operation, ...] = (
    Operation(
        method="GET",
        path="/deployments",
        handler=deployments.list_deployments,
        name="list_all_deployments",
        tag=TAG,
        summary="List the deployments of the resource, with their backends and quotas",
        answer=objects.DeploymentList,
        families=FAMILIES,
        needs=Role.ADMIN,
    ),
    Operation(
        method="GET",
        path="/deployments/{name}",
        handler=deployments.get_deployment,
        name="get_deployment",
        tag=TAG,
        summary="Get a deployment",
        answer=objects.DeploymentObject,
        answer_headers=("ETag",),
        errors=(404,),
        families=FAMILIES,
        needs=Role.ADMIN,
    ),
    Operation(
        method="PUT",
        path="/deployments/{name}",
        handler=deployments.put_deployment,
        name="put_deployment",
        tag=TAG,
        summary="Make a deployment, or replace it",
        body=objects.NewDeployment,
        parameters=CONDITIONS,
        answer=objects.DeploymentObject,
        answer_headers=("ETag",),
        status_also=(201,),
        errors=(400, 409, 412, 413),
        families=FAMILIES,
        needs=Role.ADMIN,
    ),
    Operation(
        method="PATCH",
        path="/deployments/{name}",
        handler=deployments.change_deployment,
        name="change_deployment",
        tag=TAG,
        summary="Change what the body names, and leave the rest",
        body=objects.ChangedDeployment,
        parameters=CONDITIONS,
        answer=objects.DeploymentObject,
        answer_headers=("ETag",),
        errors=(400, 404, 409, 412, 413),
        families=FAMILIES,
        needs=Role.ADMIN,
    ),
    Operation(
        method="DELETE",
        path="/deployments/{name}",
        handler=deployments.delete_deployment,
        name="delete_deployment",
        tag=TAG,
        summary="Let no new batch in, and remove the deployment when the last one has ended",
        parameters=CONDITIONS,
        answer=objects.DeploymentObject,
        answer_headers=("ETag",),
        status=202,
        status_also=(204,),
        errors=(409, 412),
        families=FAMILIES,
        needs=Role.ADMIN,
    ),
    Operation(
        method="GET",
        path="/regions",
        handler=deployments.regions,
        name="list_regions",
        tag=TAG,
        summary="Read which model answers in which region",
        answer=objects.RegionTable,
    ),
)
